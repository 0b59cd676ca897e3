/**
 * @file Private networking ("eyes-off"): each site has a network of its own with its computes, and its storage is reached through a private
 * endpoint there and nowhere else. Networks of silos are peered with the orchestrator's, not with each other, so that silos reach the
 * orchestrator's storage; their computes take connections from their own network only. Addresses as in the Azure ML example.
 */
import { fact, idOf, type Resource, text } from './expressions.ts';
import { baseName } from './parameters.ts';
import type { Site, Subnet } from './site-resources.ts';

const NETWORK_API = '2022-07-01';
const DNS_API = '2020-06-01';

/** The one zone in which the storage accounts' private addresses are. */
export const blobZone = (): Resource => ({
  symbol: 'blobZone',
  type: 'Microsoft.Network/privateDnsZones',
  apiVersion: DNS_API,
  name: [text('privatelink.blob.', fact('storageSuffix'))],
  body: { location: 'global', properties: {} },
});

export interface SiteNetwork {
  readonly network: Resource;
  readonly computes: Subnet;
  readonly endpoints: Subnet;
  readonly all: readonly Resource[];
}

export function siteNetwork({ short, region, network: number }: Site, zone: Resource): SiteNetwork {
  const name = (prefix: string) => text(`${prefix}-`, baseName, `-${short}`);
  const security: Resource = {
    symbol: `${short}Security`,
    type: 'Microsoft.Network/networkSecurityGroups',
    apiVersion: NETWORK_API,
    name: [name('nsg')],
    body: {
      location: region,
      properties: {
        securityRules: [
          rule('AzureMLInbound', 130, 'Allow', 'AzureMachineLearning', 'Tcp', '44224'),
          rule('OwnNetworkInbound', 140, 'Allow', `10.${number}.0.0/16`, '*', '*'),
          rule('OtherNetworksInbound', 150, 'Deny', '10.0.0.0/8', '*', '*'),
        ],
      },
    },
  };
  const subnet = (subnetName: string, prefix: string) => ({
    name: subnetName,
    properties: {
      addressPrefix: prefix,
      privateEndpointNetworkPolicies: 'Disabled',
      networkSecurityGroup: { id: idOf(security) },
    },
  });
  const network: Resource = {
    symbol: `${short}Network`,
    type: 'Microsoft.Network/virtualNetworks',
    apiVersion: NETWORK_API,
    name: [name('vnet')],
    body: {
      location: region,
      properties: {
        addressSpace: { addressPrefixes: [`10.${number}.0.0/16`] },
        subnets: [subnet('compute', `10.${number}.1.0/24`), subnet('endpoints', `10.${number}.0.0/24`)],
      },
    },
  };
  const link: Resource = {
    symbol: `${short}ZoneLink`,
    type: 'Microsoft.Network/privateDnsZones/virtualNetworkLinks',
    apiVersion: DNS_API,
    name: [...zone.name, name('link')],
    body: { location: 'global', properties: { registrationEnabled: false, virtualNetwork: { id: idOf(network) } } },
    after: [zone],
  };
  const within = (subnetName: string): Subnet => ({ network, id: text(idOf(network), `/subnets/${subnetName}`) });
  return { network, computes: within('compute'), endpoints: within('endpoints'), all: [security, network, link] };
}

const rule = (
  name: string,
  priority: number,
  access: 'Allow' | 'Deny',
  from: string,
  protocol: string,
  port: string,
) => ({
  name,
  properties: {
    protocol,
    sourcePortRange: '*',
    destinationPortRange: port,
    sourceAddressPrefix: from,
    destinationAddressPrefix: '*',
    access,
    priority,
    direction: 'Inbound',
  },
});

/** The address of a site's storage inside the site's network, and its name in the zone. */
export function privateEndpoint(site: Site, storage: Resource, { endpoints }: SiteNetwork, zone: Resource): Resource[] {
  const { short, region } = site;
  const endpoint: Resource = {
    symbol: `${short}Endpoint`,
    type: 'Microsoft.Network/privateEndpoints',
    apiVersion: NETWORK_API,
    name: [text('ple-', baseName, `-${short}-blob`)],
    body: {
      location: region,
      properties: {
        subnet: { id: endpoints.id },
        privateLinkServiceConnections: [
          { name: 'blob', properties: { groupIds: ['blob'], privateLinkServiceId: idOf(storage) } },
        ],
      },
    },
  };
  const group: Resource = {
    symbol: `${short}EndpointName`,
    type: 'Microsoft.Network/privateEndpoints/privateDnsZoneGroups',
    apiVersion: NETWORK_API,
    name: [...endpoint.name, 'blob'],
    body: { properties: { privateDnsZoneConfigs: [{ name: 'blob', properties: { privateDnsZoneId: idOf(zone) } }] } },
    after: [endpoint],
  };
  return [endpoint, group];
}

/**
 * Both directions between each silo's network and the orchestrator's, one after the other: each changes the orchestrator's network, and Azure
 * refuses a change while another goes on. So they wait for what else changes a network too.
 *
 * @param networks one for each site
 */
export function peerings(
  [, ...silos]: readonly Site[],
  [orchestrators, ...own]: readonly SiteNetwork[],
  endpoints: readonly Resource[],
): readonly Resource[] {
  const all: Resource[] = [];
  const one = (from: Resource, to: Resource, symbol: string, name: string): void => {
    const previous = all.at(-1);
    all.push({
      symbol,
      type: 'Microsoft.Network/virtualNetworks/virtualNetworkPeerings',
      apiVersion: NETWORK_API,
      name: [...from.name, name],
      body: {
        properties: {
          allowVirtualNetworkAccess: true,
          allowForwardedTraffic: false,
          allowGatewayTransit: false,
          useRemoteGateways: false,
          remoteVirtualNetwork: { id: idOf(to) },
        },
      },
      after: [from, ...(previous ? [previous] : endpoints)],
    });
  };
  for (const [index, { short }] of silos.entries()) {
    const { network } = own[index]!;
    one(network, orchestrators!.network, `${short}ToOrch`, 'to-orch');
    one(orchestrators!.network, network, `orchTo${short[0]!.toUpperCase()}${short.slice(1)}`, `to-${short}`);
  }
  return all;
}
