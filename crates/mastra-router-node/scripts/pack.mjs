// Lays out what is published, each package in a directory of its own: the main package, and that of a platform.
//
//   node scripts/pack.mjs [--out DIR] [--only package|platform] [--platform NAME] [--addon FILE] [--binary FILE]
//
// DIR (scratch/npm) then holds `package` and `<platform>`, to be given to `npm pack` or `npm publish`. Without more, the
// platform is this machine's, the addon is the one that `npm run build` made, and the binary that of a release build.
import { execFileSync } from 'node:child_process';
import { chmod, cp, mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const here = fileURLToPath(new URL('..', import.meta.url));
const root = path.join(here, '..', '..');

const { values: given } = parseArgs({
  options: {
    out: { type: 'string', default: path.join(here, 'scratch', 'npm') },
    only: { type: 'string' },
    platform: { type: 'string', default: thisPlatform() },
    addon: { type: 'string' },
    binary: { type: 'string', default: path.join(root, 'target', 'release', 'mastra-router') },
  },
});

const version = await workspaceVersion();
await mkdir(given.out, { recursive: true });
if (given.only !== 'platform') await layOutPackage();
if (given.only !== 'package') await layOutPlatform(given.platform);

/** The main package, as npm itself says what belongs to it. */
async function layOutPackage() {
  const to = path.join(given.out, 'package');
  await rm(to, { recursive: true, force: true });
  const manifest = await readManifest(here);
  const listed = execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], { cwd: here, encoding: 'utf8' });
  // The list is an array in npm up to 11, and keyed by name in later ones.
  const [{ files }] = Object.values(JSON.parse(listed));
  for (const file of files) await copy(path.join(here, file.path), path.join(to, file.path));
  // Only here: before they are published, nobody can install them, and nobody who builds the package needs them.
  manifest.optionalDependencies = await platformPackages();
  delete manifest.devDependencies;
  delete manifest.scripts;
  await writeFile(path.join(to, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`);
  console.info(`${manifest.name}@${version}  ${to}`);
}

async function layOutPlatform(platform) {
  const to = path.join(given.out, platform);
  await rm(to, { recursive: true, force: true });
  await cp(path.join(here, 'npm', platform), to, { recursive: true });
  const manifest = await readManifest(to);
  await copy(given.addon ?? path.join(here, manifest.main), path.join(to, manifest.main));
  await copy(given.binary, path.join(to, 'mastra-router'));
  // What CI hands from one machine to another has lost it.
  await chmod(path.join(to, 'mastra-router'), 0o755);
  await copy(path.join(root, 'LICENSE'), path.join(to, 'LICENSE'));
  console.info(`${manifest.name}@${version}  ${to}`);
}

/** The packages of all platforms, each in exactly this version. */
async function platformPackages() {
  const found = {};
  for (const platform of (await readdir(path.join(here, 'npm'))).sort()) {
    found[(await readManifest(path.join(here, 'npm', platform))).name] = version;
  }
  return found;
}

/** A package.json, whose version has to be the workspace's. */
async function readManifest(directory) {
  const file = path.join(directory, 'package.json');
  const manifest = JSON.parse(await readFile(file, 'utf8'));
  if (manifest.version !== version) {
    throw new Error(`${file} has version ${manifest.version}, and the workspace ${version}: make them the same`);
  }
  return manifest;
}

async function workspaceVersion() {
  const text = await readFile(path.join(root, 'Cargo.toml'), 'utf8');
  return /^\[workspace\.package\][^[]*?^version = "(.+?)"/ms.exec(text)[1];
}

async function copy(from, to) {
  await mkdir(path.dirname(to), { recursive: true });
  await cp(from, to).catch(error => {
    throw new Error(error.code === 'ENOENT' ? `${from} is not there: build it first` : error.message, { cause: error });
  });
}

function thisPlatform() {
  return [process.platform, process.arch, ...(process.platform === 'linux' ? ['gnu'] : [])].join('-');
}
