export class PostgresAdminStorage {
  async init() {}
}
