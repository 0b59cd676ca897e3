/**
 * @file What a template is made of: resources, and the few expressions that their properties need, as values. Two writers give them as ARM
 * JSON (arm-json.ts) and as Bicep (bicep.ts); only what both languages have is here. Resources name each other by reference, so that
 * neither an id nor an order of deployment is ever written by hand.
 */

/** Computed by Azure when it deploys; `expression` tells it from an object of the template. */
export type Expression =
  | { readonly expression: 'parameter'; readonly name: string }
  | { readonly expression: 'item'; readonly of: Expression; readonly index: number }
  | { readonly expression: 'text'; readonly parts: readonly Text[] }
  | { readonly expression: 'replace'; readonly text: Expression; readonly from: string; readonly to: string }
  | { readonly expression: 'guid'; readonly parts: readonly Text[] }
  | { readonly expression: 'fact'; readonly fact: Fact }
  | { readonly expression: 'role'; readonly definition: string }
  | { readonly expression: 'id'; readonly of: Resource }
  | { readonly expression: 'principal'; readonly of: Resource }
  /** An object with one member, whose key is computed. */
  | { readonly expression: 'keyed'; readonly key: Expression; readonly value: Value };

/** What Azure knows about where it deploys to. */
export type Fact = 'tenantId' | 'storageSuffix';

export type Text = string | Expression;

export type Value =
  | string
  | number
  | boolean
  | null
  | Expression
  | readonly Value[]
  | { readonly [key: string]: Value };

export interface Resource {
  /** Its name inside the template. */
  readonly symbol: string;
  /** Such as `Microsoft.Storage/storageAccounts`. */
  readonly type: string;
  readonly apiVersion: string;
  /** One for each segment of the type. */
  readonly name: readonly Text[];
  /** Set for those that belong to another resource without being inside it: role assignments. */
  readonly scope?: Resource;
  /** `location`, `sku`, `properties` and others. */
  readonly body: Readonly<Record<string, Value>>;
  /** To be deployed before, beside those that the body refers to. */
  readonly after?: readonly Resource[];
}

export interface Parameter {
  readonly type: 'string' | 'array';
  readonly description: string;
  readonly default: string | readonly string[];
  readonly minLength?: number;
  readonly maxLength?: number;
}

export interface Template {
  readonly parameters: Readonly<Record<string, Parameter>>;
  readonly resources: readonly Resource[];
  readonly outputs: Readonly<Record<string, Text>>;
}

export const parameter = (name: string): Expression => ({ expression: 'parameter', name });
export const item = (of: Expression, index: number): Expression => ({ expression: 'item', of, index });
export const text = (...parts: readonly Text[]): Expression => ({
  expression: 'text',
  parts: parts.flatMap((part) => (typeof part !== 'string' && part.expression === 'text' ? part.parts : [part])),
});
export const withoutHyphens = (name: Expression): Expression => ({
  expression: 'replace',
  text: name,
  from: '-',
  to: '',
});
export const guid = (...parts: readonly Text[]): Expression => ({ expression: 'guid', parts });
export const fact = (name: Fact): Expression => ({ expression: 'fact', fact: name });
/** Id of a role that Azure has in every subscription. */
export const role = (definition: string): Expression => ({ expression: 'role', definition });
export const idOf = (of: Resource): Expression => ({ expression: 'id', of });
/** Object id of a managed identity. */
export const principalOf = (of: Resource): Expression => ({ expression: 'principal', of });
export const keyed = (key: Expression, value: Value): Expression => ({ expression: 'keyed', key, value });

export const isExpression = (value: Value): value is Expression =>
  typeof value === 'object' && value !== null && 'expression' in value;

/** The resources that a value refers to. */
export function referredIn(value: Value): Set<Resource> {
  const found = new Set<Resource>();
  const visit = (each: Value): void => {
    if (typeof each !== 'object' || each === null) return;
    if (!isExpression(each)) {
      for (const inner of Object.values(each)) visit(inner);
      return;
    }
    switch (each.expression) {
      case 'id':
      case 'principal':
        found.add(each.of);
        break;
      case 'item':
        visit(each.of);
        break;
      case 'text':
      case 'guid':
        each.parts.forEach(visit);
        break;
      case 'replace':
        visit(each.text);
        break;
      case 'keyed':
        visit(each.key);
        visit(each.value);
        break;
    }
  };
  visit(value);
  return found;
}

/** What must be there before a resource: what it refers to, its scope, and what it says itself. */
export function before(resource: Resource): readonly Resource[] {
  const { scope, body, name, after = [] } = resource;
  return [...new Set([...after, ...(scope ? [scope] : []), ...referredIn(body), ...referredIn(name)])];
}

/**
 * A name with the values of the parameters; for names only, which Azure must be able to compute before it deploys.
 * @throws TypeError where it needs more than parameters
 */
export function evaluateText(value: Text, parameters: Readonly<Record<string, string | readonly string[]>>): string {
  if (typeof value === 'string') return value;
  switch (value.expression) {
    case 'parameter': {
      const given = parameters[value.name];
      if (typeof given === 'string') return given;
      throw new TypeError(`parameter ${value.name} is no text`);
    }
    case 'item': {
      const list = value.of.expression === 'parameter' ? parameters[value.of.name] : undefined;
      const found = Array.isArray(list) ? list[value.index] : undefined;
      if (typeof found === 'string') return found;
      throw new TypeError(`no item ${value.index}`);
    }
    case 'text':
      return value.parts.map((part) => evaluateText(part, parameters)).join('');
    case 'replace':
      return evaluateText(value.text, parameters).replaceAll(value.from, value.to);
    case 'fact':
      // Of the public cloud; it is only shown.
      if (value.fact === 'storageSuffix') return 'core.windows.net';
  }
  throw new TypeError(`${value.expression} is not known before the deployment`);
}
