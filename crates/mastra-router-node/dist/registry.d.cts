import type { LocalRoute } from './types.cjs';
/**
 * Routes in memory, found by id, deployment and project. It gives back what was put in.
 *
 * Of several routes of one deployment the last one added is the deployment's.
 */
export declare class RouteRegistry {
    #private;
    /** Adds a route, in the place of one with its id. */
    add(route: LocalRoute): void;
    get(routeId: string): LocalRoute | undefined;
    getByDeploymentId(deploymentId: string): LocalRoute | undefined;
    /** The routes of a project, in the order in which they were added to it. */
    listByProjectId(projectId: string): LocalRoute[];
    /** Changes fields of a route; its id stays. Returns the new route, or `undefined` where there is none. */
    update(routeId: string, updates: Partial<LocalRoute>): LocalRoute | undefined;
    /** Whether there was one. */
    remove(routeId: string): boolean;
    all(): LocalRoute[];
    clear(): void;
}
