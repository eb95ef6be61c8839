// Answers what AWS would answer, by iam-simulate (AGPL: for tests only, and in a process of its own).
// Python asks through stdin, in JSON:
//   {policies: {name: document},
//    requests: [{principal, action, resource, context, identity: [name], boundary, onResource}]}
// `identity`, `boundary` and `onResource` (a bucket's, key's or role's own policy) are names of policies, or absent.
// Printed is one verdict for each request: Allowed, ImplicitlyDenied, ExplicitlyDenied, or what is wrong with the request.

import { json } from 'node:stream/consumers'
import { createValidatedPolicy } from '@cloud-copilot/iam-policy'
import { runSimulation, runUnsafeSimulation } from '@cloud-copilot/iam-simulate'

const ACCOUNT = '123456789012'

// AWS's list of condition keys, by which the checked simulation drops what an action does not know, has only the start
// of these: what stands behind it, others choose.
const OPEN_KEYS = /^(kms:EncryptionContext|token\.actions\.githubusercontent\.com):/

const { policies, requests } = await json(process.stdin)

async function verdict({ principal, action, resource, context, identity = [], boundary, onResource }) {
  const named = (name) => ({ name, policy: policies[name] })
  const simulation = {
    // Always our own account: in another one its owner's policy would refuse, and hide that ours does not.
    request: { principal, action, resource: { resource, accountId: ACCOUNT }, contextVariables: context },
    identityPolicies: identity.map(named),
    permissionBoundaryPolicies: boundary ? [named(boundary)] : undefined,
    resourcePolicy: policies[onResource],
    serviceControlPolicies: [],
    resourceControlPolicies: [],
  }
  const result = Object.keys(context).some((key) => OPEN_KEYS.test(key)) ? null : await runSimulation(simulation, {})
  // A function's alias and its version look alike; the checked simulation would have to know which one it is.
  if (result === null || result.errors?.message === 'multiple.resource.types') {
    simulation.resourcePolicy &&= createValidatedPolicy(simulation.resourcePolicy, () => [], { name: onResource })
    return runUnsafeSimulation(simulation, {})
  }
  if (result.errors) return result.errors.message === 'policy.errors' ? JSON.stringify(result.errors) : result.errors.message
  return result.overallResult
}

const verdicts = []
for (const request of requests) verdicts.push(await verdict(request))
process.stdout.write(JSON.stringify(verdicts))
