import { boolean, count, field, optional, settings, string, strings, type Check } from '../arguments.cjs';
import { home } from '../configuration.cjs';
import { call, fromNative } from '../error.cjs';
import native = require('../native.cjs');
import { installWarnings } from '../warnings.cjs';

export interface TLSManagerConfig {
  /** Directory of the local authority and of its certificates. @default '~/.mastra/certs' */
  certDir?: string;
  /** At most 397. @default 365 */
  validityDays?: number;
  /** @default 'Mastra Local Development' */
  organization?: string;
  /** Say changes on the console. @default true */
  logChanges?: boolean;
  /** Domains that a new authority may vouch for, beside `localhost` and `test`. @default ['local'] */
  baseDomains?: string[];
}

export interface Certificate {
  /** PEM. */
  cert: string;
  /** PEM (PKCS#8). */
  key: string;
  domain: string;
  expiresAt: Date;
}

/** A certificate in the directory. */
export interface CertificateInfo {
  domain: string;
  expiresAt: Date;
}

export interface CertificateResult {
  success: boolean;
  certificate?: Certificate;
  /** What went wrong, and what to do. */
  error?: string;
}

const CONFIG: { [K in keyof TLSManagerConfig]-?: Check } = {
  certDir: optional(string),
  validityDays: optional(count),
  organization: optional(string),
  logChanges: optional(boolean),
  baseDomains: optional(strings),
};

/**
 * Certificates for local servers, issued by a local authority that may vouch for local names only.
 *
 * They are `<domain>.crt`, `<domain>.key` (readable by this user only) and `<domain>.meta.json` in `certDir`.
 */
export class TLSManager {
  readonly #native: native.NativeTls;
  readonly #logs: boolean;

  constructor(config?: TLSManagerConfig);
  /** That of a router. @internal */
  constructor(config: TLSManagerConfig, of: native.NativeTls);
  constructor(config: TLSManagerConfig = {}, of?: native.NativeTls) {
    const given = settings<TLSManagerConfig>('', config, CONFIG);
    this.#logs = given.logChanges ?? true;
    installWarnings(this.#logs);
    this.#native = call(
      () =>
        of ??
        new native.NativeTls({
          certDir: home(given.certDir),
          validityDays: given.validityDays,
          organization: given.organization,
          baseDomains: given.baseDomains ?? ['local'],
        }),
    );
  }

  /** The certificate of a domain: the one there is, or a new one where it cannot be used any more. */
  getCertificate(domain: string): Promise<CertificateResult> {
    return this.#certificate(domain, () => this.#native.get(domain));
  }

  /** A new certificate, in the place of the one there is. */
  generateCertificate(domain: string): Promise<CertificateResult> {
    return this.#certificate(domain, async () => {
      const made = await this.#native.issue(domain);
      if (this.#logs) console.info(`[TLSManager] Certificate generated for ${domain}`);
      return made;
    });
  }

  /** Whether there was one. */
  async deleteCertificate(domain: string): Promise<boolean> {
    field('domain', domain, string);
    const deleted = await this.#call(() => this.#native.delete(domain));
    if (deleted && this.#logs) console.info(`[TLSManager] Certificate deleted for ${domain}`);
    return deleted;
  }

  /** Deletes all certificates, and leaves the authority. */
  async clearCertificates(): Promise<void> {
    const deleted = await this.#call(() => this.#native.clear());
    if (deleted.length > 0 && this.#logs) console.info(`[TLSManager] ${deleted.length} certificates deleted`);
  }

  listCertificates(): CertificateInfo[] {
    return call(() => this.#native.list()).map(({ domain, expiresAt }) => ({ domain, expiresAt: new Date(expiresAt) }));
  }

  hasCertificate(domain: string): boolean {
    const name = typeof domain === 'string' ? domain.toLowerCase() : undefined;
    return this.listCertificates().some(certificate => certificate.domain === name);
  }

  /** How to have programs on this machine trust the certificates. */
  getTrustInstructions(): string {
    const ca = this.#native.caPath();
    return [
      `The certificates are issued by a local authority, which may vouch for local names only: ${ca}`,
      '',
      `Trust it in the system, in Chrome and in Firefox:`,
      `  npx @mastra/router-local tls trust --cert-dir ${quoted(this.#native.certDir())}`,
      `In Node:  NODE_EXTRA_CA_CERTS=${quoted(ca)}`,
      `In curl:  curl --cacert ${quoted(ca)} …`,
      `Undo it:  npx @mastra/router-local tls untrust --cert-dir ${quoted(this.#native.certDir())}`,
    ].join('\n');
  }

  getCertDir(): string {
    return this.#native.certDir();
  }

  async #certificate(domain: unknown, make: () => Promise<native.NativeCertificate>): Promise<CertificateResult> {
    try {
      field('domain', domain, string);
      const { cert, key, domain: named, expiresAt } = await make();
      return { success: true, certificate: { cert, key, domain: named, expiresAt: new Date(expiresAt) } };
    } catch (thrown) {
      const { message, hint } = fromNative(thrown);
      const error = hint === undefined ? message : `${message} (${hint})`;
      if (this.#logs) console.error(`[TLSManager] ${error}`);
      return { success: false, error };
    }
  }

  async #call<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw fromNative(error);
    }
  }
}


function quoted(path: string): string {
  return /^[\w./~-]+$/.test(path) ? path : `'${path.replaceAll("'", `'\\''`)}'`;
}
