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
/**
 * Certificates for local servers, issued by a local authority that may vouch for local names only.
 *
 * They are `<domain>.crt`, `<domain>.key` (readable by this user only) and `<domain>.meta.json` in `certDir`.
 */
export declare class TLSManager {
    #private;
    constructor(config?: TLSManagerConfig);
    /** The certificate of a domain: the one there is, or a new one where it cannot be used any more. */
    getCertificate(domain: string): Promise<CertificateResult>;
    /** A new certificate, in the place of the one there is. */
    generateCertificate(domain: string): Promise<CertificateResult>;
    /** Whether there was one. */
    deleteCertificate(domain: string): Promise<boolean>;
    /** Deletes all certificates, and leaves the authority. */
    clearCertificates(): Promise<void>;
    listCertificates(): CertificateInfo[];
    hasCertificate(domain: string): boolean;
    /** How to have programs on this machine trust the certificates. */
    getTrustInstructions(): string;
    getCertDir(): string;
}
