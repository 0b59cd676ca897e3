// Made by fedrad provision --target azure --offline, with main.json beside it. Change the plan, not this file.
targetScope = 'resourceGroup'

@description('Base of the names; those of storage accounts and key vaults are taken once in all of Azure.')
@minLength(3)
@maxLength(16)
param demoBaseName string = 'fldemo'

@description('Name of the Azure ML workspace.')
@minLength(3)
@maxLength(33)
param workspaceName string = 'aml-fldemo'

@description('Region of the workspace and the orchestrator.')
param orchestratorRegion string = 'eastus'

@description('Region of each of the 3 silos.')
@minLength(3)
@maxLength(3)
param siloRegions array = [
  'eastus'
  'westus'
  'westeurope'
]

@description('VM size of the compute clusters.')
param vmSize string = 'Standard_DS4_v2'

@description('Access policies that an existing key vault has and shall keep: a deployment replaces all others. fedrad provision fills it in.')
param keyVaultPolicies array = []

resource logs 'Microsoft.OperationalInsights/workspaces@2021-06-01' = {
  name: 'logs-${demoBaseName}'
  location: orchestratorRegion
  properties: {
    sku: {
      name: 'PerGB2018'
    }
    retentionInDays: 30
  }
}

resource insights 'Microsoft.Insights/components@2020-02-02' = {
  name: 'appi-${demoBaseName}'
  location: orchestratorRegion
  kind: 'web'
  properties: {
    Application_Type: 'web'
    Flow_Type: 'Bluefield'
    WorkspaceResourceId: logs.id
  }
}

resource registry 'Microsoft.ContainerRegistry/registries@2021-09-01' = {
  name: 'cr${replace(demoBaseName, '-', '')}'
  location: orchestratorRegion
  sku: {
    name: 'Standard'
  }
  properties: {
    adminUserEnabled: true
  }
}

resource vault 'Microsoft.KeyVault/vaults@2022-07-01' = {
  name: 'kv-${demoBaseName}'
  location: orchestratorRegion
  properties: {
    tenantId: subscription().tenantId
    sku: {
      name: 'standard'
      family: 'A'
    }
    accessPolicies: keyVaultPolicies
    enableRbacAuthorization: false
    enableSoftDelete: true
  }
}

resource workspaceStorage 'Microsoft.Storage/storageAccounts@2022-05-01' = {
  name: 'st${replace(demoBaseName, '-', '')}'
  location: orchestratorRegion
  sku: {
    name: 'Standard_LRS'
  }
  kind: 'StorageV2'
  properties: {
    allowBlobPublicAccess: false
    allowCrossTenantReplication: false
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
  }
}

resource workspace 'Microsoft.MachineLearningServices/workspaces@2022-10-01' = {
  name: workspaceName
  location: orchestratorRegion
  identity: {
    type: 'SystemAssigned'
  }
  properties: {
    friendlyName: 'federated learning: ${demoBaseName}'
    storageAccount: workspaceStorage.id
    keyVault: vault.id
    applicationInsights: insights.id
    containerRegistry: registry.id
    publicNetworkAccess: 'Enabled'
  }
}

resource orchIdentity 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' = {
  name: 'uai-${demoBaseName}-orch'
  location: orchestratorRegion
}

resource orchStorage 'Microsoft.Storage/storageAccounts@2022-05-01' = {
  name: 'st${replace(demoBaseName, '-', '')}orch'
  location: orchestratorRegion
  sku: {
    name: 'Standard_LRS'
  }
  kind: 'StorageV2'
  properties: {
    accessTier: 'Hot'
    allowBlobPublicAccess: false
    allowCrossTenantReplication: false
    allowSharedKeyAccess: false
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
    publicNetworkAccess: 'Enabled'
    networkAcls: {
      bypass: 'AzureServices'
      defaultAction: 'Allow'
    }
  }
}

resource orchContainer 'Microsoft.Storage/storageAccounts/blobServices/containers@2022-05-01' = {
  name: 'st${replace(demoBaseName, '-', '')}orch/default/private'
  properties: {
    publicAccess: 'None'
  }
  dependsOn: [
    orchStorage
  ]
}

resource orchDatastore 'Microsoft.MachineLearningServices/workspaces/datastores@2022-10-01' = {
  name: '${workspaceName}/datastore_orchestrator'
  properties: {
    datastoreType: 'AzureBlob'
    accountName: 'st${replace(demoBaseName, '-', '')}orch'
    containerName: 'private'
    credentials: {
      credentialsType: 'None'
    }
    description: 'storage of the orchestrator in ${orchestratorRegion}'
  }
  dependsOn: [
    workspace
    orchContainer
  ]
}

resource orchOwnRole 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(orchStorage.id, orchIdentity.id, 'ba92f5b4-2d11-453d-a403-e96b0029c9fe')
  scope: orchStorage
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', 'ba92f5b4-2d11-453d-a403-e96b0029c9fe')
    principalId: orchIdentity.properties.principalId
    principalType: 'ServicePrincipal'
  }
}

resource orchCompute01 'Microsoft.MachineLearningServices/workspaces/computes@2022-10-01' = {
  name: '${workspaceName}/orchestrator-01'
  location: orchestratorRegion
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${orchIdentity.id}': {}
    }
  }
  properties: {
    computeType: 'AmlCompute'
    computeLocation: orchestratorRegion
    disableLocalAuth: true
    properties: {
      vmPriority: 'Dedicated'
      vmSize: vmSize
      osType: 'Linux'
      scaleSettings: {
        minNodeCount: 0
        maxNodeCount: 2
        nodeIdleTimeBeforeScaleDown: 'PT300S'
      }
      enableNodePublicIp: true
      remoteLoginPortPublicAccess: 'Disabled'
    }
  }
  dependsOn: [
    workspace
  ]
}

resource silo0Identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' = {
  name: 'uai-${demoBaseName}-silo0'
  location: siloRegions[0]
}

resource silo0Storage 'Microsoft.Storage/storageAccounts@2022-05-01' = {
  name: 'st${replace(demoBaseName, '-', '')}silo0'
  location: siloRegions[0]
  sku: {
    name: 'Standard_LRS'
  }
  kind: 'StorageV2'
  properties: {
    accessTier: 'Hot'
    allowBlobPublicAccess: false
    allowCrossTenantReplication: false
    allowSharedKeyAccess: false
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
    publicNetworkAccess: 'Enabled'
    networkAcls: {
      bypass: 'AzureServices'
      defaultAction: 'Allow'
    }
  }
}

resource silo0Container 'Microsoft.Storage/storageAccounts/blobServices/containers@2022-05-01' = {
  name: 'st${replace(demoBaseName, '-', '')}silo0/default/private'
  properties: {
    publicAccess: 'None'
  }
  dependsOn: [
    silo0Storage
  ]
}

resource silo0Datastore 'Microsoft.MachineLearningServices/workspaces/datastores@2022-10-01' = {
  name: '${workspaceName}/datastore_silo0'
  properties: {
    datastoreType: 'AzureBlob'
    accountName: 'st${replace(demoBaseName, '-', '')}silo0'
    containerName: 'private'
    credentials: {
      credentialsType: 'None'
    }
    description: 'storage of the silo0 in ${siloRegions[0]}'
  }
  dependsOn: [
    workspace
    silo0Container
  ]
}

resource silo0OwnRole 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(silo0Storage.id, silo0Identity.id, 'ba92f5b4-2d11-453d-a403-e96b0029c9fe')
  scope: silo0Storage
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', 'ba92f5b4-2d11-453d-a403-e96b0029c9fe')
    principalId: silo0Identity.properties.principalId
    principalType: 'ServicePrincipal'
  }
}

resource silo0Compute01 'Microsoft.MachineLearningServices/workspaces/computes@2022-10-01' = {
  name: '${workspaceName}/silo0-01'
  location: orchestratorRegion
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${silo0Identity.id}': {}
    }
  }
  properties: {
    computeType: 'AmlCompute'
    computeLocation: siloRegions[0]
    disableLocalAuth: true
    properties: {
      vmPriority: 'Dedicated'
      vmSize: vmSize
      osType: 'Linux'
      scaleSettings: {
        minNodeCount: 0
        maxNodeCount: 2
        nodeIdleTimeBeforeScaleDown: 'PT300S'
      }
      enableNodePublicIp: true
      remoteLoginPortPublicAccess: 'Disabled'
    }
  }
  dependsOn: [
    workspace
  ]
}

resource silo1Identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' = {
  name: 'uai-${demoBaseName}-silo1'
  location: siloRegions[1]
}

resource silo1Storage 'Microsoft.Storage/storageAccounts@2022-05-01' = {
  name: 'st${replace(demoBaseName, '-', '')}silo1'
  location: siloRegions[1]
  sku: {
    name: 'Standard_LRS'
  }
  kind: 'StorageV2'
  properties: {
    accessTier: 'Hot'
    allowBlobPublicAccess: false
    allowCrossTenantReplication: false
    allowSharedKeyAccess: false
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
    publicNetworkAccess: 'Enabled'
    networkAcls: {
      bypass: 'AzureServices'
      defaultAction: 'Allow'
    }
  }
}

resource silo1Container 'Microsoft.Storage/storageAccounts/blobServices/containers@2022-05-01' = {
  name: 'st${replace(demoBaseName, '-', '')}silo1/default/private'
  properties: {
    publicAccess: 'None'
  }
  dependsOn: [
    silo1Storage
  ]
}

resource silo1Datastore 'Microsoft.MachineLearningServices/workspaces/datastores@2022-10-01' = {
  name: '${workspaceName}/datastore_silo1'
  properties: {
    datastoreType: 'AzureBlob'
    accountName: 'st${replace(demoBaseName, '-', '')}silo1'
    containerName: 'private'
    credentials: {
      credentialsType: 'None'
    }
    description: 'storage of the silo1 in ${siloRegions[1]}'
  }
  dependsOn: [
    workspace
    silo1Container
  ]
}

resource silo1OwnRole 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(silo1Storage.id, silo1Identity.id, 'ba92f5b4-2d11-453d-a403-e96b0029c9fe')
  scope: silo1Storage
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', 'ba92f5b4-2d11-453d-a403-e96b0029c9fe')
    principalId: silo1Identity.properties.principalId
    principalType: 'ServicePrincipal'
  }
}

resource silo1Compute01 'Microsoft.MachineLearningServices/workspaces/computes@2022-10-01' = {
  name: '${workspaceName}/silo1-01'
  location: orchestratorRegion
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${silo1Identity.id}': {}
    }
  }
  properties: {
    computeType: 'AmlCompute'
    computeLocation: siloRegions[1]
    disableLocalAuth: true
    properties: {
      vmPriority: 'Dedicated'
      vmSize: vmSize
      osType: 'Linux'
      scaleSettings: {
        minNodeCount: 0
        maxNodeCount: 2
        nodeIdleTimeBeforeScaleDown: 'PT300S'
      }
      enableNodePublicIp: true
      remoteLoginPortPublicAccess: 'Disabled'
    }
  }
  dependsOn: [
    workspace
  ]
}

resource silo2Identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' = {
  name: 'uai-${demoBaseName}-silo2'
  location: siloRegions[2]
}

resource silo2Storage 'Microsoft.Storage/storageAccounts@2022-05-01' = {
  name: 'st${replace(demoBaseName, '-', '')}silo2'
  location: siloRegions[2]
  sku: {
    name: 'Standard_LRS'
  }
  kind: 'StorageV2'
  properties: {
    accessTier: 'Hot'
    allowBlobPublicAccess: false
    allowCrossTenantReplication: false
    allowSharedKeyAccess: false
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
    publicNetworkAccess: 'Enabled'
    networkAcls: {
      bypass: 'AzureServices'
      defaultAction: 'Allow'
    }
  }
}

resource silo2Container 'Microsoft.Storage/storageAccounts/blobServices/containers@2022-05-01' = {
  name: 'st${replace(demoBaseName, '-', '')}silo2/default/private'
  properties: {
    publicAccess: 'None'
  }
  dependsOn: [
    silo2Storage
  ]
}

resource silo2Datastore 'Microsoft.MachineLearningServices/workspaces/datastores@2022-10-01' = {
  name: '${workspaceName}/datastore_silo2'
  properties: {
    datastoreType: 'AzureBlob'
    accountName: 'st${replace(demoBaseName, '-', '')}silo2'
    containerName: 'private'
    credentials: {
      credentialsType: 'None'
    }
    description: 'storage of the silo2 in ${siloRegions[2]}'
  }
  dependsOn: [
    workspace
    silo2Container
  ]
}

resource silo2OwnRole 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(silo2Storage.id, silo2Identity.id, 'ba92f5b4-2d11-453d-a403-e96b0029c9fe')
  scope: silo2Storage
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', 'ba92f5b4-2d11-453d-a403-e96b0029c9fe')
    principalId: silo2Identity.properties.principalId
    principalType: 'ServicePrincipal'
  }
}

resource silo2Compute01 'Microsoft.MachineLearningServices/workspaces/computes@2022-10-01' = {
  name: '${workspaceName}/silo2-01'
  location: orchestratorRegion
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${silo2Identity.id}': {}
    }
  }
  properties: {
    computeType: 'AmlCompute'
    computeLocation: siloRegions[2]
    disableLocalAuth: true
    properties: {
      vmPriority: 'Dedicated'
      vmSize: vmSize
      osType: 'Linux'
      scaleSettings: {
        minNodeCount: 0
        maxNodeCount: 2
        nodeIdleTimeBeforeScaleDown: 'PT300S'
      }
      enableNodePublicIp: true
      remoteLoginPortPublicAccess: 'Disabled'
    }
  }
  dependsOn: [
    workspace
  ]
}

resource silo0SharedRole 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(orchStorage.id, silo0Identity.id, 'ba92f5b4-2d11-453d-a403-e96b0029c9fe')
  scope: orchStorage
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', 'ba92f5b4-2d11-453d-a403-e96b0029c9fe')
    principalId: silo0Identity.properties.principalId
    principalType: 'ServicePrincipal'
  }
}

resource silo1SharedRole 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(orchStorage.id, silo1Identity.id, 'ba92f5b4-2d11-453d-a403-e96b0029c9fe')
  scope: orchStorage
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', 'ba92f5b4-2d11-453d-a403-e96b0029c9fe')
    principalId: silo1Identity.properties.principalId
    principalType: 'ServicePrincipal'
  }
}

resource silo2SharedRole 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(orchStorage.id, silo2Identity.id, 'ba92f5b4-2d11-453d-a403-e96b0029c9fe')
  scope: orchStorage
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', 'ba92f5b4-2d11-453d-a403-e96b0029c9fe')
    principalId: silo2Identity.properties.principalId
    principalType: 'ServicePrincipal'
  }
}

resource vaultAccess 'Microsoft.KeyVault/vaults/accessPolicies@2022-07-01' = {
  name: 'kv-${demoBaseName}/add'
  properties: {
    accessPolicies: [
      {
        tenantId: subscription().tenantId
        objectId: silo0Identity.properties.principalId
        permissions: {
          secrets: [
            'get'
            'list'
          ]
        }
      }
      {
        tenantId: subscription().tenantId
        objectId: silo1Identity.properties.principalId
        permissions: {
          secrets: [
            'get'
            'list'
          ]
        }
      }
      {
        tenantId: subscription().tenantId
        objectId: silo2Identity.properties.principalId
        permissions: {
          secrets: [
            'get'
            'list'
          ]
        }
      }
    ]
  }
  dependsOn: [
    vault
    workspace
  ]
}

output amlWorkspaceName string = workspaceName
output keyVaultName string = 'kv-${demoBaseName}'
output orchestratorStorage string = 'st${replace(demoBaseName, '-', '')}orch'
