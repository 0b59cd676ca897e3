/** What the other rooms may use of agent. */
export { type Agent, type AgentMembership, type AgentOptions, startAgent } from './agent.ts';
export { type EndedWork, openJournal } from './journal.ts';
export { type Log, openLog } from './log.ts';
export { agentPaths } from './paths.ts';
export { type AgentStatus, readStatus } from './status-file.ts';
export { objectTransfer } from './transfer.ts';
export { openAgentVault } from './vault.ts';
