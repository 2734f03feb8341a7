// A program that allocates ports, says which, and keeps them until its input ends.
import { PortManager } from './package.mjs';

const [config, count] = process.argv.slice(2).map(argument => JSON.parse(argument));
const manager = new PortManager(config);
const ports = [];
for (let n = 0; n < count; n += 1) ports.push(await manager.allocate());
console.info(JSON.stringify(ports));
process.stdin.resume();
