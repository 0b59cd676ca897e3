/**
 * @file What the stand-in for the resource manager asks of each kind of resource: api-versions, names (from Azure's published naming rules)
 * and the fields that the published template reference requires. A kind or api-version that is not here is refused.
 */
import { z } from 'zod';

export interface Kind {
  readonly apiVersion: string;
  /** Of the last segment. */
  readonly name: RegExp;
  readonly body: z.ZodType;
  /** The name is taken once in all of Azure. */
  readonly global?: true;
}

export const REGIONS = new Set([
  'eastus',
  'eastus2',
  'westus',
  'westeurope',
  'northeurope',
  'francecentral',
  'australiaeast',
]);
/** Cores of the sizes that are known. */
export const VM_CORES: Readonly<Record<string, number>> = {
  Standard_DS3_v2: 4,
  Standard_DS4_v2: 8,
  Standard_NC6s_v3: 6,
  Standard_NC24ads_A100_v4: 24,
};

const id = z.string().regex(/^\/subscriptions\/[^/]+\/resourceGroups\/[^/]+\/providers\/.+/);
const region = z.string().refine((name) => REGIONS.has(name), 'LocationNotAvailableForResourceType');
const uuid = z.guid();
const idObject = z.strictObject({ id });
const storage = z.strictObject({
  location: region,
  kind: z.enum(['Storage', 'StorageV2', 'BlobStorage', 'FileStorage', 'BlockBlobStorage']),
  sku: z.strictObject({ name: z.enum(['Standard_LRS', 'Standard_ZRS', 'Standard_GRS', 'Premium_LRS']) }),
  properties: z.strictObject({
    accessTier: z.enum(['Hot', 'Cool', 'Premium']).optional(),
    allowBlobPublicAccess: z.boolean().optional(),
    allowCrossTenantReplication: z.boolean().optional(),
    allowSharedKeyAccess: z.boolean().optional(),
    minimumTlsVersion: z.enum(['TLS1_0', 'TLS1_1', 'TLS1_2']).optional(),
    supportsHttpsTrafficOnly: z.boolean().optional(),
    publicNetworkAccess: z.enum(['Enabled', 'Disabled']).optional(),
    networkAcls: z
      .strictObject({ bypass: z.enum(['None', 'AzureServices']), defaultAction: z.enum(['Allow', 'Deny']) })
      .optional(),
  }),
});
export const policySchema = z.strictObject({
  tenantId: uuid,
  objectId: z.string(),
  permissions: z.strictObject({
    secrets: z.array(z.enum(['all', 'get', 'list', 'set', 'delete', 'backup', 'restore', 'recover', 'purge'])),
  }),
});
const computeProperties = z.strictObject({
  computeType: z.literal('AmlCompute'),
  computeLocation: region,
  disableLocalAuth: z.boolean().optional(),
  properties: z.strictObject({
    vmPriority: z.enum(['Dedicated', 'LowPriority']),
    vmSize: z.string(),
    osType: z.enum(['Linux', 'Windows']),
    scaleSettings: z.strictObject({
      minNodeCount: z.int().min(0),
      maxNodeCount: z.int().min(1),
      nodeIdleTimeBeforeScaleDown: z.string().regex(/^PT\d+S$/),
    }),
    enableNodePublicIp: z.boolean(),
    remoteLoginPortPublicAccess: z.enum(['Enabled', 'Disabled', 'NotSpecified']),
    subnet: idObject.optional(),
  }),
});
const securityRule = z.strictObject({
  name: z.string(),
  properties: z.strictObject({
    protocol: z.enum(['*', 'Tcp', 'Udp', 'Icmp', 'Ah', 'Esp']),
    sourcePortRange: z.string(),
    destinationPortRange: z.string(),
    sourceAddressPrefix: z.string(),
    destinationAddressPrefix: z.string(),
    access: z.enum(['Allow', 'Deny']),
    priority: z.int().min(100).max(4096),
    direction: z.enum(['Inbound', 'Outbound']),
  }),
});
const network = /^[A-Za-z0-9]([\w.-]{0,78}[A-Za-z0-9_])?$/;

export const KINDS: Readonly<Record<string, Kind>> = {
  'Microsoft.OperationalInsights/workspaces': {
    apiVersion: '2021-06-01',
    name: /^[A-Za-z0-9][A-Za-z0-9-]{2,61}[A-Za-z0-9]$/,
    body: z.strictObject({
      location: region,
      properties: z.strictObject({
        sku: z.strictObject({ name: z.enum(['PerGB2018', 'Free', 'Standalone']) }),
        retentionInDays: z.int().min(30).max(730),
      }),
    }),
  },
  'Microsoft.Insights/components': {
    apiVersion: '2020-02-02',
    name: /^[^%&\\?/]{1,259}[^%&\\?/. ]$/,
    body: z.strictObject({
      location: region,
      kind: z.string(),
      properties: z.strictObject({
        Application_Type: z.enum(['web', 'other']),
        Flow_Type: z.literal('Bluefield'),
        WorkspaceResourceId: id,
      }),
    }),
  },
  'Microsoft.ContainerRegistry/registries': {
    apiVersion: '2021-09-01',
    name: /^[A-Za-z0-9]{5,50}$/,
    global: true,
    body: z.strictObject({
      location: region,
      sku: z.strictObject({ name: z.enum(['Basic', 'Standard', 'Premium']) }),
      properties: z.strictObject({ adminUserEnabled: z.boolean() }),
    }),
  },
  'Microsoft.KeyVault/vaults': {
    apiVersion: '2022-07-01',
    name: /^[A-Za-z](?!.*--)[A-Za-z0-9-]{1,22}[A-Za-z0-9]$/,
    global: true,
    body: z.strictObject({
      location: region,
      properties: z.strictObject({
        tenantId: uuid,
        sku: z.strictObject({ name: z.enum(['standard', 'premium']), family: z.literal('A') }),
        accessPolicies: z.array(policySchema),
        enableRbacAuthorization: z.boolean(),
        enableSoftDelete: z.literal(true),
      }),
    }),
  },
  'Microsoft.KeyVault/vaults/accessPolicies': {
    apiVersion: '2022-07-01',
    name: /^(add|replace|remove)$/,
    body: z.strictObject({ properties: z.strictObject({ accessPolicies: z.array(policySchema) }) }),
  },
  'Microsoft.Storage/storageAccounts': {
    apiVersion: '2022-05-01',
    name: /^[a-z0-9]{3,24}$/,
    global: true,
    body: storage,
  },
  'Microsoft.Storage/storageAccounts/blobServices/containers': {
    apiVersion: '2022-05-01',
    name: /^[a-z0-9](?!.*--)[a-z0-9-]{1,61}[a-z0-9]$/,
    body: z.strictObject({ properties: z.strictObject({ publicAccess: z.enum(['None', 'Blob', 'Container']) }) }),
  },
  'Microsoft.ManagedIdentity/userAssignedIdentities': {
    apiVersion: '2023-01-31',
    name: /^[A-Za-z0-9][\w-]{2,127}$/,
    body: z.strictObject({ location: region }),
  },
  'Microsoft.MachineLearningServices/workspaces': {
    apiVersion: '2022-10-01',
    name: /^[A-Za-z0-9][\w-]{2,32}$/,
    body: z.strictObject({
      location: region,
      identity: z.strictObject({ type: z.literal('SystemAssigned') }),
      properties: z.strictObject({
        friendlyName: z.string().optional(),
        storageAccount: id,
        keyVault: id,
        applicationInsights: id,
        containerRegistry: id.optional(),
        publicNetworkAccess: z.enum(['Enabled', 'Disabled']),
      }),
    }),
  },
  'Microsoft.MachineLearningServices/workspaces/computes': {
    apiVersion: '2022-10-01',
    name: /^[A-Za-z](?!.*--)[A-Za-z0-9-]{1,30}[A-Za-z0-9]$/,
    body: z.strictObject({
      location: region,
      identity: z.strictObject({
        type: z.literal('UserAssigned'),
        userAssignedIdentities: z.record(id, z.strictObject({})),
      }),
      properties: computeProperties,
    }),
  },
  'Microsoft.MachineLearningServices/workspaces/datastores': {
    apiVersion: '2022-10-01',
    name: /^[a-zA-Z0-9_]{1,255}$/,
    body: z.strictObject({
      properties: z.strictObject({
        datastoreType: z.literal('AzureBlob'),
        accountName: z.string(),
        containerName: z.string(),
        credentials: z.strictObject({ credentialsType: z.literal('None') }),
        description: z.string().optional(),
      }),
    }),
  },
  'Microsoft.Authorization/roleAssignments': {
    apiVersion: '2022-04-01',
    name: /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/,
    body: z.strictObject({
      properties: z.strictObject({
        roleDefinitionId: z.string().regex(/\/providers\/Microsoft\.Authorization\/roleDefinitions\/[0-9a-f-]{36}$/),
        principalId: uuid,
        principalType: z.enum(['User', 'Group', 'ServicePrincipal']),
      }),
    }),
  },
  'Microsoft.Network/networkSecurityGroups': {
    apiVersion: '2022-07-01',
    name: network,
    body: z.strictObject({
      location: region,
      properties: z.strictObject({
        securityRules: z
          .array(securityRule)
          .refine(
            (rules) =>
              new Set(rules.map((each) => `${each.properties.priority} ${each.properties.direction}`)).size ===
              rules.length,
            'two rules of one priority',
          ),
      }),
    }),
  },
  'Microsoft.Network/virtualNetworks': {
    apiVersion: '2022-07-01',
    name: network,
    body: z.strictObject({
      location: region,
      properties: z.strictObject({
        addressSpace: z.strictObject({ addressPrefixes: z.array(z.cidrv4()).min(1) }),
        subnets: z.array(
          z.strictObject({
            name: z.string(),
            properties: z.strictObject({
              addressPrefix: z.cidrv4(),
              privateEndpointNetworkPolicies: z.enum(['Enabled', 'Disabled']),
              networkSecurityGroup: idObject,
            }),
          }),
        ),
      }),
    }),
  },
  'Microsoft.Network/virtualNetworks/virtualNetworkPeerings': {
    apiVersion: '2022-07-01',
    name: network,
    body: z.strictObject({
      properties: z.strictObject({
        allowVirtualNetworkAccess: z.boolean(),
        allowForwardedTraffic: z.boolean(),
        allowGatewayTransit: z.boolean(),
        useRemoteGateways: z.boolean(),
        remoteVirtualNetwork: idObject,
      }),
    }),
  },
  'Microsoft.Network/privateDnsZones': {
    apiVersion: '2020-06-01',
    name: /^([a-z0-9-]+\.)+[a-z]+$/,
    body: z.strictObject({ location: z.literal('global'), properties: z.strictObject({}) }),
  },
  'Microsoft.Network/privateDnsZones/virtualNetworkLinks': {
    apiVersion: '2020-06-01',
    name: network,
    body: z.strictObject({
      location: z.literal('global'),
      properties: z.strictObject({ registrationEnabled: z.boolean(), virtualNetwork: idObject }),
    }),
  },
  'Microsoft.Network/privateEndpoints': {
    apiVersion: '2022-07-01',
    name: network,
    body: z.strictObject({
      location: region,
      properties: z.strictObject({
        subnet: idObject,
        privateLinkServiceConnections: z
          .array(
            z.strictObject({
              name: z.string(),
              properties: z.strictObject({ groupIds: z.array(z.literal('blob')).min(1), privateLinkServiceId: id }),
            }),
          )
          .length(1),
      }),
    }),
  },
  'Microsoft.Network/privateEndpoints/privateDnsZoneGroups': {
    apiVersion: '2022-07-01',
    name: network,
    body: z.strictObject({
      properties: z.strictObject({
        privateDnsZoneConfigs: z.array(
          z.strictObject({ name: z.string(), properties: z.strictObject({ privateDnsZoneId: id }) }),
        ),
      }),
    }),
  },
};
