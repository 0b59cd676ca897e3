/**
 * @file The authorization code grant with PKCE of the stand-in's sign-in (RFC 6749 and 7636), as Microsoft Entra's v2.0 endpoints answer
 * it: who comes to the page is signed in at once, and the code can be redeemed once, by whoever has the verifier.
 */
import { createHash, randomUUID } from 'node:crypto';

export interface CodeReply {
  readonly status: number;
  readonly body: unknown;
}

/** The claims of whoever signs in. */
export interface SignedIn {
  readonly oid: string;
  readonly tid: string;
  readonly iss: string;
}

const encoded = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
const refuse = (description: string): CodeReply => ({
  status: 400,
  body: { error: 'invalid_grant', error_description: description, error_codes: [70000] },
});

export function authorizationCodes({ oid, tid, iss }: SignedIn, accessToken: (scope: string) => string) {
  const codes = new Map<string, { challenge: string; client: string; scope: string; redirect: string }>();
  return {
    /** `GET …/authorize`: the form that a browser would post to the address that is named. */
    authorize(query: URLSearchParams): CodeReply {
      const of = (name: string): string => query.get(name) ?? '';
      if (
        of('response_type') !== 'code' ||
        of('response_mode') !== 'form_post' ||
        of('code_challenge_method') !== 'S256'
      )
        return refuse('expected response_type code, response_mode form_post, code_challenge_method S256');
      if (!/^http:\/\/localhost:\d+$/.test(of('redirect_uri'))) return refuse('AADSTS50011: the redirect URI differs');
      const code = randomUUID();
      codes.set(code, {
        challenge: of('code_challenge'),
        client: of('client_id'),
        scope: of('scope'),
        redirect: of('redirect_uri'),
      });
      const fields = { code, state: of('state'), client_info: encoded({ uid: oid, utid: tid }) };
      return { status: 200, body: { action: of('redirect_uri'), fields } };
    },
    /** `POST …/token` with `grant_type=authorization_code` */
    redeem(form: URLSearchParams): CodeReply {
      const known = codes.get(form.get('code') ?? '');
      codes.delete(form.get('code') ?? '');
      const proof = createHash('sha256')
        .update(form.get('code_verifier') ?? '')
        .digest('base64url');
      if (
        !known ||
        proof !== known.challenge ||
        known.client !== form.get('client_id') ||
        known.redirect !== form.get('redirect_uri')
      )
        return refuse('AADSTS70008: the code is unknown, or was given to somebody else');
      const now = Math.floor(Date.now() / 1000);
      const claims = {
        aud: known.client,
        iss,
        iat: now,
        nbf: now,
        exp: now + 3600,
        oid,
        tid,
        sub: oid,
        preferred_username: 'stand-in',
        ver: '2.0',
      };
      return {
        status: 200,
        body: {
          token_type: 'Bearer',
          scope: known.scope,
          expires_in: 3600,
          ext_expires_in: 3600,
          access_token: accessToken(known.scope.split(' ')[0]!),
          refresh_token: randomUUID(),
          id_token: `${encoded({ alg: 'HS256', typ: 'JWT' })}.${encoded(claims)}.${encoded('stand-in')}`,
          client_info: encoded({ uid: oid, utid: tid }),
        },
      };
    },
  };
}
