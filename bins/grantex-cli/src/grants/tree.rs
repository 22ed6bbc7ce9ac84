//! `grants tree`: who handed what to whom.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{collect, one, text, tone, with_children};
use crate::cli::{TreeOfGrants, WhichGrants};
use crate::client::Client;
use crate::error::Failure;
use crate::output::{Output, Tone};

/// How deep trees are shown. The service allows ten levels; a stranger's answer shall not fill the stack.
const DEEPEST: usize = 64;

/// Shows trees.
pub async fn tree(client: &Client, options: &TreeOfGrants, output: &Output) -> Result<(), Failure> {
    let (forest, has_more) = match &options.id {
        Some(id) => {
            let root = one(client, id).await?;
            // What is delegated stays with its principal.
            let which = WhichGrants {
                agent: None,
                principal: Some(text(&root, "principalId")),
                status: None,
            };
            let (mut grants, has_more) = collect(client, &which, options.limit).await?;
            let id = text(&root, "grantId");
            if !grants.iter().any(|grant| text(grant, "grantId") == id) {
                grants.push(root);
            }
            (Forest::below(grants, id), has_more)
        }
        None => {
            let (grants, has_more) = collect(client, &options.which, options.limit).await?;
            (Forest::of(grants), has_more)
        }
    };
    if output.is_json() {
        return output.json(&json!({"grants": forest.json(), "hasMore": has_more}));
    }
    output.raw(&forest.text(output))?;
    if has_more {
        output.note("There are more grants than were looked at, so that branches may be missing: raise --limit.");
    }
    Ok(())
}

/// Grants by their parents.
struct Forest {
    grants: BTreeMap<String, Value>,
    children: BTreeMap<String, Vec<String>>,
    roots: Vec<String>,
}

impl Forest {
    /// All trees, oldest first. A grant whose parent is not among these is a root.
    fn of(grants: Vec<Value>) -> Self {
        let grants: BTreeMap<String, Value> = grants
            .into_iter()
            .map(|grant| (text(&grant, "grantId"), grant))
            .collect();
        let mut children: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut roots = Vec::new();
        // Ids begin with their time, so that their order is that of their making.
        for (id, grant) in &grants {
            let parent = text(grant, "parentGrantId");
            match grants.contains_key(&parent) {
                true => children.entry(parent).or_default().push(id.clone()),
                false => roots.push(id.clone()),
            }
        }
        Self {
            grants,
            children,
            roots,
        }
    }

    /// The tree below one of these.
    fn below(grants: Vec<Value>, root: String) -> Self {
        Self {
            roots: vec![root],
            ..Self::of(grants)
        }
    }

    /// The children of a grant that are not above it: a cycle, which no service makes, ends there.
    fn children<'f>(&'f self, id: &str, above: &BTreeSet<&'f str>) -> Vec<&'f str> {
        let children = self.children.get(id).map_or(&[][..], Vec::as_slice);
        let children = children.iter().map(String::as_str);
        children
            .filter(|child| !above.contains(child) && above.len() < DEEPEST)
            .collect()
    }

    fn json(&self) -> Vec<Value> {
        let mut above = BTreeSet::new();
        self.roots.iter().map(|root| self.node(root, &mut above)).collect()
    }

    fn node<'f>(&'f self, id: &'f str, above: &mut BTreeSet<&'f str>) -> Value {
        above.insert(id);
        let children = self.children(id, above);
        let children = children.into_iter().map(|child| self.node(child, above)).collect();
        above.remove(id);
        with_children(self.grants.get(id).unwrap_or(&Value::Null), children)
    }

    fn text(&self, output: &Output) -> String {
        let (mut out, mut above) = (String::new(), BTreeSet::new());
        for root in &self.roots {
            self.branch(root, "", "", &mut above, output, &mut out);
        }
        out
    }

    /// One grant in a line, then those below it. `lead` stands before its own line, `rest` before those of what is below.
    fn branch<'f>(
        &'f self,
        id: &'f str,
        lead: &str,
        rest: &str,
        above: &mut BTreeSet<&'f str>,
        output: &Output,
        out: &mut String,
    ) {
        let grant = self.grants.get(id).unwrap_or(&Value::Null);
        let line = [
            output.toned(Tone::Strong, id),
            output.toned(tone(grant), &text(grant, "status")),
            output.toned(Tone::Plain, &text(grant, "agentId")),
            output.toned(Tone::Plain, &format!("[{}]", text(grant, "scopes"))),
            output.toned(Tone::Faint, &format!("until {}", text(grant, "expiresAt"))),
        ];
        out.push_str(&format!("{lead}{}\n", line.join("  ")));
        above.insert(id);
        let children = self.children(id, above);
        let count = children.len();
        for (index, child) in children.into_iter().enumerate() {
            let (own, below) = match index + 1 == count {
                true => ("└─ ", "   "),
                false => ("├─ ", "│  "),
            };
            self.branch(
                child,
                &format!("{rest}{own}"),
                &format!("{rest}{below}"),
                above,
                output,
                out,
            );
        }
        above.remove(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(id: &str, parent: &str) -> Value {
        json!({"grantId": id, "parentGrantId": parent})
    }

    fn ids(trees: &[Value]) -> Vec<String> {
        trees
            .iter()
            .map(|node| {
                let below = ids(node["children"].as_array().unwrap());
                format!("{}({})", text(node, "grantId"), below.join(" "))
            })
            .collect()
    }

    #[test]
    fn grants_stand_below_those_they_came_from() {
        let all = || {
            vec![
                grant("d", "b"),
                grant("b", "a"),
                grant("c", "a"),
                grant("a", ""),
                grant("x", "gone"),
            ]
        };
        assert_eq!(ids(&Forest::of(all()).json()), ["a(b(d()) c())", "x()"]);
        assert_eq!(ids(&Forest::below(all(), "b".to_owned()).json()), ["b(d())"]);
    }

    #[test]
    fn a_cycle_ends() {
        let cycle = vec![grant("a", "b"), grant("b", "a"), grant("c", "c")];
        assert_eq!(ids(&Forest::below(cycle, "a".to_owned()).json()), ["a(b())"]);
    }

    #[test]
    fn an_endless_chain_is_cut() {
        let chain = (0..10_000)
            .map(|n| grant(&format!("{n:05}"), &format!("{:05}", n as i64 - 1)))
            .collect();
        let mut depth = 0;
        let trees = Forest::of(chain).json();
        let mut node = &trees[0];
        while let Some(child) = node["children"].get(0) {
            depth += 1;
            node = child;
        }
        assert_eq!(depth, DEEPEST - 1);
    }
}
