/**
 * @file A certificate authority for one federation, and the certificate of its nats-server: ECDSA on P-256, which every TLS
 * implementation knows. Hospitals trust this authority and no other; its key stays with the orchestrator, for another certificate later.
 */
// @peculiar/x509 needs it before it is loaded itself.
import 'reflect-metadata';
import { createPrivateKey, randomBytes, webcrypto, X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
  X509Certificate as X509Source,
} from '@peculiar/x509';
import { fail, messageOf } from '../base/index.ts';

/** A certificate and its private key, PEM. */
export interface Certificate {
  readonly certificate: string;
  readonly key: string;
}

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const DAY_MS = 24 * 60 * 60 * 1000;
const LIFETIME_MS = 3650 * DAY_MS;
/** Clocks of hospitals may be behind. */
const BACKDATED_MS = DAY_MS;

/** A new authority, for ten years. */
export async function newAuthority(name: string, now: Date): Promise<Certificate> {
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const certificate = await X509CertificateGenerator.createSelfSigned(
    {
      ...times(now),
      name: `CN=${name}`,
      keys: keys as { publicKey: CryptoKey; privateKey: CryptoKey },
      signingAlgorithm: ALGORITHM,
      extensions: [
        new BasicConstraintsExtension(true, 0, true),
        new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      ],
    },
    webcrypto as Crypto,
  );
  return { certificate: `${certificate.toString('pem')}\n`, key: await pemOf(keys.privateKey) };
}

/** A server's certificate for these host names and addresses, for as long as the authority's own. */
export async function newServerCertificate(
  authority: Certificate,
  hosts: readonly string[],
  now: Date,
): Promise<Certificate> {
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const issuer = new X509Source(authority.certificate);
  const signingKey = await webcrypto.subtle.importKey(
    'pkcs8',
    createPrivateKey(authority.key).export({ format: 'der', type: 'pkcs8' }),
    ALGORITHM,
    false,
    ['sign'],
  );
  const certificate = await X509CertificateGenerator.create(
    {
      ...times(now),
      notAfter: issuer.notAfter,
      subject: `CN=${hosts[0]!}`,
      issuer: issuer.subject,
      publicKey: keys.publicKey as CryptoKey,
      signingKey: signingKey as CryptoKey,
      signingAlgorithm: ALGORITHM,
      extensions: [
        new BasicConstraintsExtension(false, undefined, true),
        new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
        new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
        new SubjectAlternativeNameExtension(
          hosts.map((value) => (isIP(value) ? { type: 'ip' as const, value } : { type: 'dns' as const, value })),
        ),
      ],
    },
    webcrypto as Crypto,
  );
  return { certificate: `${certificate.toString('pem')}\n`, key: await pemOf(keys.privateKey) };
}

const times = (now: Date) => ({
  serialNumber: randomBytes(16).fill(1, 0, 1).toString('hex'),
  notBefore: new Date(now.getTime() - BACKDATED_MS),
  notAfter: new Date(now.getTime() + LIFETIME_MS),
});

const pemOf = async (key: webcrypto.CryptoKey): Promise<string> =>
  `${PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', key), 'PRIVATE KEY')}\n`;

/** Throws where somebody's own certificate cannot serve these hosts: damaged, expired, of another key or for other names. */
export function checkServerCertificate(own: Certificate, hosts: readonly string[], now: Date): void {
  const where = '--cert';
  const certificate = parsed(own.certificate, where);
  if (!certificate.checkPrivateKey(privateKey(own.key))) fail(where, 'its key is not the one of --key');
  if (now > certificate.validToDate) fail(where, `it expired on ${certificate.validTo}`, 'renew it');
  const missing = hosts.find((host) => !(isIP(host) ? certificate.checkIP(host) : certificate.checkHost(host)));
  if (missing === undefined) return;
  fail(where, `it is for ${certificate.subjectAltName ?? certificate.subject}, not for ${missing}`, 'change --url');
}

/** Throws where this PEM is not one or more certificates. */
export function checkAuthority(pem: string, where: string): void {
  parsed(pem, where);
}

function parsed(pem: string, where: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch (cause) {
    return fail(where, `expected a certificate in PEM: ${messageOf(cause)}`, undefined, cause);
  }
}

function privateKey(pem: string) {
  try {
    return createPrivateKey(pem);
  } catch {
    return fail('--key', 'expected a private key in PEM, without a passphrase');
  }
}
