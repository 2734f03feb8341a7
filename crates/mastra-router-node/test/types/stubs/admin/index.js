// Calls a router as MastraAdmin does: never more than these four methods, and never to start or close it.
export class MastraAdmin {
  static made = [];
  #config;
  #builds = 0;
  #running = new Map();

  constructor(config) {
    this.#config = config;
    MastraAdmin.made.push(this);
  }

  get router() {
    return this.#config.router;
  }

  async init() {
    await this.#config.storage.init();
  }

  async deploy(_userId, deploymentId) {
    return this.#start(deploymentId, `build-${++this.#builds}`);
  }

  async rollback(_userId, deploymentId, buildId) {
    return this.#start(deploymentId, buildId);
  }

  async registerAgain(deploymentId) {
    const id = `build-${++this.#builds}`;
    const server = await this.#config.runner.start(id);
    try {
      const { publicUrl } = await this.router.registerRoute(this.#route(deploymentId, server));
      return { id, deploymentId, publicUrl };
    } catch (error) {
      await server.stop();
      throw error;
    }
  }

  async stop(_userId, deploymentId) {
    await this.router.removeRoute(deploymentId);
    await this.#running.get(deploymentId)?.stop();
    this.#running.delete(deploymentId);
  }

  async #start(deploymentId, id) {
    const before = this.#running.get(deploymentId);
    // The new server is up before the old one goes: what moves the route is the cut-over.
    const server = await this.#config.runner.start(id);
    const existing = await this.router.getRoute(deploymentId);
    const route = this.#route(deploymentId, server);
    const { publicUrl } = existing
      ? await this.router.updateRoute(existing.routeId, route)
      : await this.router.registerRoute(route);
    this.#running.set(deploymentId, server);
    await before?.stop();
    return { id, deploymentId, publicUrl };
  }

  #route(deploymentId, { host, port }) {
    return { deploymentId, projectId: 'project-1', subdomain: 'job-matcher', targetHost: host, targetPort: port };
  }
}
