// An OpenID provider for the tests: npm's oidc-provider with the settings of a small company, at a free port of loopback.
//
//   node provider.mjs <folder with node_modules>
//
// It writes one line of JSON when it can be asked: its `issuer`, the `secrets` of its clients, and its keys. Its endpoints
// are those of its discovery document. Keys are changed by lines of JSON on standard input, each answered by one
// line that says which keys are published now and which one signs:
//
//   {"add": "ES256"}    publishes a new key beside the others
//   {"sign": "<kid>"}   signs with this one from now on
//   {"drop": "<kid>"}   publishes it no longer
//
// It ends when its standard input does, so that it never outlives the test that started it.

import { X509Certificate, generateKeyPairSync, randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

// The packages lie where scripts/test put them, not beside this file.
const packages = createRequire(resolve(process.argv[2], 'package.json'));
const { Provider } = await import(pathToFileURL(packages.resolve('oidc-provider')));

// What tokens are asked for, and for whom they are then: `aud` is the audience, not the name of the resource.
const RESOURCES = {
  'https://things.example.com/': { audience: 'things', accessTokenFormat: 'jwt' },
  'https://things.example.com/opaque': { audience: 'things', accessTokenFormat: 'opaque' },
  'https://others.example.com/': { audience: 'others', accessTokenFormat: 'jwt' },
  'https://others.example.com/opaque': { audience: 'others', accessTokenFormat: 'opaque' },
};
const SCOPES = 'things:read things:write';
const LIFETIME_S = 600;

const secret = () => randomBytes(24).toString('base64url');
// `robot` works for itself, `certified` does so with a certificate to which its tokens are bound, users log in at `shop`,
// `deodar` decides.
const secrets = { robot: secret(), certified: secret(), shop: secret(), deodar: secret() };

const KINDS = {
  ES256: ['ec', { namedCurve: 'P-256' }],
  RS256: ['rsa', { modulusLength: 2048 }],
  PS256: ['rsa', { modulusLength: 2048 }],
  EdDSA: ['ed25519', {}],
};

function newKey(alg) {
  const [kind, options] = KINDS[alg];
  const { privateKey } = generateKeyPairSync(kind, options);
  return { ...privateKey.export({ format: 'jwk' }), alg, use: 'sig', kid: randomUUID() };
}

const keys = new Map();
let signer;
let answer;

function add(alg) {
  const key = newKey(alg);
  keys.set(key.kid, key);
  return key;
}

function client(client_id, more) {
  const none = { redirect_uris: [], response_types: [], grant_types: ['client_credentials'] };
  return { client_id, client_secret: secrets[client_id], ...none, ...more };
}

// Where opaque tokens, used proofs, logins and grants are kept.
class Store {
  static kept = new Map();

  constructor(kind) {
    this.kind = kind;
  }

  async upsert(id, payload, lifetime) {
    Store.kept.set(`${this.kind}:${id}`, { payload, until: Date.now() + lifetime * 1000 });
  }

  async find(id) {
    const found = Store.kept.get(`${this.kind}:${id}`);
    return found && Date.now() < found.until ? found.payload : undefined;
  }

  async findByUid(uid) {
    const found = [...Store.kept].find(([id, { payload }]) => id.startsWith(`${this.kind}:`) && payload.uid === uid);
    return found?.[1].payload;
  }

  async consume(id) {
    (await this.find(id)).consumed = true;
  }

  async destroy(id) {
    Store.kept.delete(`${this.kind}:${id}`);
  }
}

// What a server that ends TLS in front of it would say of the client's certificate (RFC 9440).
function certificate(context) {
  const [, der] = /^:(.+):$/.exec(context.get('client-cert')) ?? [];
  return der && new X509Certificate(Buffer.from(der, 'base64'));
}

// A provider takes its keys when it is made, so each change of keys makes another one, with the same store.
function provider(issuer) {
  const made = new Provider(issuer, {
    adapter: Store,
    clients: [
      client('robot'),
      client('certified', { tls_client_certificate_bound_access_tokens: true }),
      client('shop', {
        redirect_uris: ['https://shop.example.com/back'],
        response_types: ['code'],
        grant_types: ['authorization_code'],
      }),
      client('deodar', { grant_types: [] }),
    ],
    clientDefaults: { id_token_signed_response_alg: signer.alg },
    jwks: { keys: [...keys.values()] },
    scopes: ['openid', ...SCOPES.split(' ')],
    ttl: { ClientCredentials: LIFETIME_S, AccessToken: LIFETIME_S },
    findAccount: (_, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
    loadExistingGrant: consent,
    interactions: { url: (_, { uid }) => `/login/${uid}` },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      dPoP: { enabled: true },
      mTLS: { enabled: true, certificateBoundAccessTokens: true, getCertificate: certificate },
      // Only the one who decides may look into tokens.
      introspection: { enabled: true, allowedPolicy: (_, asking) => asking.clientId === 'deodar' },
      revocation: { enabled: true },
      resourceIndicators: { enabled: true, defaultResource: () => undefined, getResourceServerInfo: resource },
    },
  });
  const others = made.callback();
  return (request, response) =>
    request.url.startsWith('/login/') ? login(made, request, response) : others(request, response);
}

// Users say who they are and are believed.
async function login(made, request, response) {
  const { params } = await made.interactionDetails(request, response);
  await made.interactionFinished(request, response, { login: { accountId: params.login_hint } });
}

// Users need not be asked whether the shop may act for them.
async function consent({ oidc }) {
  const grant = new oidc.provider.Grant({ clientId: oidc.client.clientId, accountId: oidc.session.accountId });
  grant.addOIDCScope(`openid ${SCOPES}`);
  Object.keys(RESOURCES).forEach((name) => grant.addResourceScope(name, SCOPES));
  await grant.save();
  return grant;
}

function resource(_, name) {
  const found = RESOURCES[name];
  if (!found) throw new Error(`no resource ${name}`);
  const jwt = { sign: { alg: signer.alg, kid: signer.kid } };
  return { scope: SCOPES, accessTokenTTL: LIFETIME_S, jwt, ...found };
}

function say(line) {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

function state() {
  return { published: [...keys.keys()], signer: signer.kid };
}

function change(command) {
  if (command.add) add(command.add);
  if (command.sign) signer = keys.get(command.sign);
  if (command.drop) keys.delete(command.drop);
  if (!keys.has(signer?.kid)) throw new Error('the key that signs is not published');
}

signer = add('ES256');
const server = createServer((request, response) => answer(request, response));
server.listen(0, '127.0.0.1');
await once(server, 'listening');
const issuer = `http://127.0.0.1:${server.address().port}`;
answer = provider(issuer);
say({ issuer, secrets, ...state() });

for await (const line of createInterface({ input: process.stdin })) {
  change(JSON.parse(line));
  answer = provider(issuer);
  say(state());
}
process.exit(0);
