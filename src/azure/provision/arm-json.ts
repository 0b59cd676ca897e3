/**
 * @file Writes a template as ARM JSON, as `az deployment group create --template-file` and the resource manager take it. From the published
 * template syntax (schema 2019-04-01) and its functions.
 */
import {
  before,
  type Expression,
  isExpression,
  type Resource,
  type Template,
  type Text,
  text,
  type Value,
} from './expressions.ts';

export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };

export interface ArmTemplate {
  readonly [key: string]: Json;
}

export function armTemplate({ parameters, resources, outputs }: Template): ArmTemplate {
  return {
    $schema: 'https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#',
    contentVersion: '1.0.0.0',
    parameters: Object.fromEntries(
      Object.entries(parameters).map(([name, { description, default: value, ...rules }]) => [
        name,
        { ...rules, defaultValue: value, metadata: { description } },
      ]),
    ),
    resources: resources.map(armResource),
    outputs: Object.fromEntries(
      Object.entries(outputs).map(([name, value]) => [name, { type: 'string', value: armValue(value) }]),
    ),
  };
}

function armResource(resource: Resource): Json {
  const { type, apiVersion, name, scope, body } = resource;
  const segments = name.flatMap((segment, index): Text[] => (index === 0 ? [segment] : ['/', segment]));
  const dependsOn = before(resource).map((each) => `[${idCall(each)}]`);
  return {
    type,
    apiVersion,
    name: armValue(segments.length === 1 ? segments[0]! : text(...segments)),
    ...(scope ? { scope: `[${idCall(scope)}]` } : {}),
    ...(armValue(body) as Record<string, Json>),
    ...(dependsOn.length > 0 ? { dependsOn } : {}),
  };
}

function armValue(value: Value): Json {
  // A text that begins with a bracket would be taken for an expression.
  if (typeof value === 'string') return value.startsWith('[') ? `[${value}` : value;
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(armValue);
  if (isExpression(value)) {
    if (value.expression !== 'keyed') return `[${call(value)}]`;
    return { [`[${call(value.key)}]`]: armValue(value.value) };
  }
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, armValue(inner)]));
}

const quoted = (literal: string): string => `'${literal.replaceAll("'", "''")}'`;
const argument = (value: Text): string => (typeof value === 'string' ? quoted(value) : call(value));
const list = (values: readonly Text[]): string => values.map(argument).join(', ');

/** `resourceId('Microsoft.…', …)` of a resource of the template's own group. */
const idCall = ({ type, name }: Resource): string => `resourceId(${list([type, ...name])})`;

function call(value: Expression): string {
  switch (value.expression) {
    case 'parameter':
      return `parameters(${quoted(value.name)})`;
    case 'item':
      return `${call(value.of)}[${value.index}]`;
    case 'text':
      return `concat(${list(value.parts)})`;
    case 'replace':
      return `replace(${call(value.text)}, ${quoted(value.from)}, ${quoted(value.to)})`;
    case 'guid':
      return `guid(${list(value.parts)})`;
    case 'fact':
      return value.fact === 'tenantId' ? 'subscription().tenantId' : 'environment().suffixes.storage';
    case 'role':
      return `subscriptionResourceId('Microsoft.Authorization/roleDefinitions', ${quoted(value.definition)})`;
    case 'id':
      return idCall(value.of);
    case 'principal':
      return `reference(${idCall(value.of)}, ${quoted(value.of.apiVersion)}).principalId`;
    case 'keyed':
      throw new TypeError('an object cannot stand inside an expression');
  }
}
