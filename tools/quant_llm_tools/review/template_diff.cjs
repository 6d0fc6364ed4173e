// What CloudFormation does to each resource between two templates, for many stacks at once.
//
// stdin:  {"<stack>": {"before": <template>, "after": <template>}, ...}
// stdout: {"<stack>": {"<logical id>": {"impact": ..., "properties": {"<name>": {"impact": ..., "through": [...]}}}}}
//
// `impact` is cloudformation-diff's: WILL_CREATE, WILL_UPDATE, WILL_REPLACE, MAY_REPLACE, WILL_DESTROY, WILL_ORPHAN,
// NO_CHANGE. `through` names the resources whose change alone changes the property; it is empty where the template's
// own text changes. The library sees a replaced resource through `Ref` only. Here whatever refers to one changes with
// it, and so does what reads an attribute of a custom resource that is updated: that is how an endpoint rolls while
// its own text stays the same.
"use strict";

const { readFileSync } = require("node:fs");
const { isDeepStrictEqual } = require("node:util");
// Resource by resource: the library's `fullDiff` reads all IAM policies as well, and throws at one of a form that it
// doesn't know.
const { diffResource } = require("@aws-cdk/cloudformation-diff/lib/diff");
const { ResourceImpact } = require("@aws-cdk/cloudformation-diff/lib/diff/types");

const isCustom = (resource) =>
  resource.Type.startsWith("Custom::") || resource.Type === "AWS::CloudFormation::CustomResource";

/** Marks every reference to one of `changed` in the value; `seen` collects the ids that were found. */
function mark(value, changed, seen) {
  if (Array.isArray(value)) return value.map((item) => mark(item, changed, seen));
  if (value === null || typeof value !== "object") return value;
  const id = referredTo(value);
  if (id !== undefined && changed.has(id)) {
    seen.add(id);
    return { ...value, "Changed::Resource": true };
  }
  if ("Fn::Sub" in value) {
    for (const [, name] of JSON.stringify(value["Fn::Sub"]).matchAll(/\$\{([A-Za-z0-9]+)[.}]/g)) {
      if (changed.has(name)) {
        seen.add(name);
        return { ...value, "Changed::Resource": true };
      }
    }
  }
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, mark(item, changed, seen)]));
}

function referredTo(value) {
  if ("Ref" in value) return value.Ref;
  const attribute = value["Fn::GetAtt"];
  if (attribute === undefined) return undefined;
  return Array.isArray(attribute) ? attribute[0] : String(attribute).split(".")[0];
}

/** The resources whose references differ afterwards, if their own difference is `difference`. */
function changesItsReferences(difference, resource) {
  if (resource === undefined || difference.isAddition || difference.isRemoval) return false;
  if (difference.changeImpact === ResourceImpact.WILL_REPLACE) return true;
  // The library knows no types of custom resources, and so no impact of theirs.
  return isCustom(resource) && Object.keys(difference.propertyUpdates).length > 0;
}

function withMarks(resources, changed) {
  const through = {};
  const marked = {};
  for (const [id, resource] of Object.entries(resources)) {
    through[id] = {};
    const properties = {};
    for (const [name, value] of Object.entries(resource.Properties ?? {})) {
      const seen = new Set();
      properties[name] = mark(value, changed, seen);
      if (seen.size > 0) through[id][name] = [...seen].sort();
    }
    marked[id] = { ...resource, Properties: properties };
  }
  return [marked, through];
}

function compare(before, after) {
  const changed = new Set();
  for (;;) {
    const [marked, through] = withMarks(after, changed);
    const differences = new Map();
    for (const id of new Set([...Object.keys(before), ...Object.keys(after)])) {
      if (isDeepStrictEqual(before[id], marked[id])) continue;
      differences.set(id, diffResource(before[id], marked[id], id));
    }
    const found = changed.size;
    for (const [id, difference] of differences) {
      if (changesItsReferences(difference, after[id])) changed.add(id);
    }
    if (changed.size === found) return listed(differences, before, after, through);
  }
}

function listed(differences, before, after, through) {
  const result = {};
  for (const [id, difference] of differences) {
    const properties = {};
    for (const [name, property] of Object.entries(difference.propertyUpdates)) {
      const same = isDeepStrictEqual(before[id]?.Properties?.[name], after[id]?.Properties?.[name]);
      properties[name] = { impact: property.changeImpact, through: same ? (through[id]?.[name] ?? []) : [] };
    }
    result[id] = { impact: difference.changeImpact, properties };
  }
  return result;
}

const resourcesOf = (template) =>
  // Without an empty object for the properties a resource that has none would differ from itself with marks.
  Object.fromEntries(
    Object.entries(template.Resources ?? {}).map(([id, resource]) => [id, { Properties: {}, ...resource }]),
  );

const stacks = JSON.parse(readFileSync(0, "utf8"));
const results = Object.entries(stacks).map(([name, { before, after }]) => [name, compare(resourcesOf(before), resourcesOf(after))]);
process.stdout.write(JSON.stringify(Object.fromEntries(results)));
