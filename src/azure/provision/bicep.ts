/**
 * @file Writes a template as Bicep, the same resources under the same names as arm-json.ts. No Bicep compiler has read it: it keeps to the
 * plainest part of the published syntax (parameters, resources, outputs, interpolated text).
 */
import {
  before,
  type Expression,
  isExpression,
  type Parameter,
  type Resource,
  referredIn,
  type Template,
  type Text,
  text,
  type Value,
} from './expressions.ts';

/** @param heading comment above, one line each */
export function bicepText({ parameters, resources, outputs }: Template, heading: readonly string[]): string {
  const sections = [
    [...heading.map((line) => `// ${line}`), "targetScope = 'resourceGroup'"].join('\n'),
    ...Object.entries(parameters).map(([name, each]) => parameterText(name, each)),
    ...resources.map(resourceText),
    Object.entries(outputs)
      .map(([name, value]) => `output ${name} string = ${valueText(value, '')}`)
      .join('\n'),
  ];
  return `${sections.join('\n\n')}\n`;
}

function parameterText(name: string, { type, description, default: value, minLength, maxLength }: Parameter): string {
  return [
    `@description(${quoted(description)})`,
    ...(minLength === undefined ? [] : [`@minLength(${minLength})`]),
    ...(maxLength === undefined ? [] : [`@maxLength(${maxLength})`]),
    `param ${name} ${type} = ${valueText(value, '')}`,
  ].join('\n');
}

function resourceText(resource: Resource): string {
  const { symbol, type, apiVersion, name, scope, body } = resource;
  // Bicep sees by itself what a resource refers to.
  const implied = new Set([...referredIn(body), ...referredIn(name), ...(scope ? [scope] : [])]);
  const after = before(resource).filter((each) => !implied.has(each));
  const segments = name.flatMap((segment, index): Text[] => (index === 0 ? [segment] : ['/', segment]));
  const members = [
    `name: ${textText([text(...segments)])}`,
    ...(scope ? [`scope: ${scope.symbol}`] : []),
    ...Object.entries(body).map(([key, value]) => `${keyText(key)}: ${valueText(value, INDENT)}`),
    ...(after.length > 0
      ? [
          `dependsOn: ${block(
            '[',
            after.map((each) => each.symbol),
            ']',
            INDENT,
          )}`,
        ]
      : []),
  ];
  return `resource ${symbol} ${quoted(`${type}@${apiVersion}`)} = ${block('{', members, '}', '')}`;
}

const INDENT = '  ';

const block = (open: string, lines: readonly string[], close: string, indent: string): string =>
  lines.length === 0
    ? open + close
    : `${open}\n${lines.map((line) => `${indent}${INDENT}${line}`).join('\n')}\n${indent}${close}`;

const keyText = (key: string): string => (/^[A-Za-z_]\w*$/.test(key) ? key : quoted(key));

/** Inside quotes: what Bicep would take for its own is escaped. */
const escaped = (literal: string): string =>
  literal.replaceAll('\\', '\\\\').replaceAll("'", "\\'").replaceAll('${', '\\${').replaceAll('\n', '\\n');
const quoted = (literal: string): string => `'${escaped(literal)}'`;

function textText(parts: readonly Text[]): string {
  const only = parts.length === 1 ? parts[0]! : undefined;
  if (only !== undefined && typeof only !== 'string') return expressionText(only, '');
  const inner = (part: Text): string => {
    if (typeof part === 'string') return escaped(part);
    return part.expression === 'text' ? part.parts.map(inner).join('') : `\${${expressionText(part, '')}}`;
  };
  return `'${parts.map(inner).join('')}'`;
}

function valueText(value: Value, indent: string): string {
  if (typeof value === 'string') return quoted(value);
  if (typeof value !== 'object' || value === null) return String(value);
  const deeper = indent + INDENT;
  if (Array.isArray(value))
    return block(
      '[',
      value.map((each) => valueText(each, deeper)),
      ']',
      indent,
    );
  if (isExpression(value)) return expressionText(value, indent);
  const members = Object.entries(value).map(([key, inner]) => `${keyText(key)}: ${valueText(inner, deeper)}`);
  return block('{', members, '}', indent);
}

function expressionText(value: Expression, indent: string): string {
  switch (value.expression) {
    case 'parameter':
      return value.name;
    case 'item':
      return `${expressionText(value.of, indent)}[${value.index}]`;
    case 'text':
      return textText(value.parts);
    case 'replace':
      return `replace(${expressionText(value.text, indent)}, ${quoted(value.from)}, ${quoted(value.to)})`;
    case 'guid':
      return `guid(${value.parts.map((part) => textText([part])).join(', ')})`;
    case 'fact':
      return value.fact === 'tenantId' ? 'subscription().tenantId' : 'environment().suffixes.storage';
    case 'role':
      return `subscriptionResourceId('Microsoft.Authorization/roleDefinitions', ${quoted(value.definition)})`;
    case 'id':
      return `${value.of.symbol}.id`;
    case 'principal':
      return `${value.of.symbol}.properties.principalId`;
    case 'keyed':
      return block(
        '{',
        [`'\${${expressionText(value.key, indent)}}': ${valueText(value.value, indent + INDENT)}`],
        '}',
        indent,
      );
  }
}
