import { fields, field, string, isObject } from './arguments.cjs';
import { EdgeRouterError } from './error.cjs';
import type { LocalRoute } from './types.cjs';

const KEYS = { routeId: string, deploymentId: string, projectId: string };

/**
 * Routes in memory, found by id, deployment and project. It gives back what was put in.
 *
 * Of several routes of one deployment the last one added is the deployment's.
 */
export class RouteRegistry {
  readonly #routes = new Map<string, LocalRoute>();
  readonly #byDeployment = new Map<string, Set<string>>();
  readonly #byProject = new Map<string, Set<string>>();

  /** Adds a route, in the place of one with its id. */
  add(route: LocalRoute): void {
    fields('route', route, KEYS);
    this.remove(route.routeId);
    this.#routes.set(route.routeId, route);
    this.#index(route);
  }

  get(routeId: string): LocalRoute | undefined {
    return this.#routes.get(routeId);
  }

  getByDeploymentId(deploymentId: string): LocalRoute | undefined {
    const last = [...(this.#byDeployment.get(deploymentId) ?? [])].at(-1);
    return last === undefined ? undefined : this.#routes.get(last);
  }

  /** The routes of a project, in the order in which they were added to it. */
  listByProjectId(projectId: string): LocalRoute[] {
    const ids = [...(this.#byProject.get(projectId) ?? [])];
    return ids.map(id => this.#routes.get(id)).filter(route => route !== undefined);
  }

  /** Changes fields of a route; its id stays. Returns the new route, or `undefined` where there is none. */
  update(routeId: string, updates: Partial<LocalRoute>): LocalRoute | undefined {
    const route = this.#routes.get(routeId);
    if (!route) return undefined;
    if (!isObject(updates)) throw new EdgeRouterError('INVALID_FIELD', 'updates is not valid: it is not an object');
    const updated: LocalRoute = { ...route, ...updates, routeId };
    fields('route', updated, KEYS);
    this.#routes.set(routeId, updated);
    if (updated.deploymentId !== route.deploymentId || updated.projectId !== route.projectId) {
      this.#unindex(route);
      this.#index(updated);
    }
    return updated;
  }

  /** Whether there was one. */
  remove(routeId: string): boolean {
    field('routeId', routeId, string);
    const route = this.#routes.get(routeId);
    if (!route) return false;
    this.#routes.delete(routeId);
    this.#unindex(route);
    return true;
  }

  all(): LocalRoute[] {
    return [...this.#routes.values()];
  }

  clear(): void {
    this.#routes.clear();
    this.#byDeployment.clear();
    this.#byProject.clear();
  }

  #index(route: LocalRoute): void {
    put(this.#byDeployment, route.deploymentId, route.routeId);
    put(this.#byProject, route.projectId, route.routeId);
  }

  #unindex(route: LocalRoute): void {
    take(this.#byDeployment, route.deploymentId, route.routeId);
    take(this.#byProject, route.projectId, route.routeId);
  }
}

function put(index: Map<string, Set<string>>, key: string, id: string): void {
  const ids = index.get(key);
  if (ids) ids.add(id);
  else index.set(key, new Set([id]));
}

function take(index: Map<string, Set<string>>, key: string, id: string): void {
  const ids = index.get(key);
  ids?.delete(id);
  if (ids?.size === 0) index.delete(key);
}
