//! Promise: a function fits on a screen, nothing is nested deeper than a reader can hold, and modules side by side do not
//! need each other in a circle.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};
use syn::{
    Attribute, Block, Expr, ImplItemFn, Item, ItemFn, ItemMod, ItemUse, TraitItemFn, UseTree,
    visit::{self, Visit},
};

/// Lines of a function, its name and closing brace included, attributes and documentation not.
const LINES: usize = 60;
/// Blocks of control flow and closures within each other.
const DEPTH: usize = 5;
/// Folders that are held to it.
const CRATES: [&str; 16] = [
    "core",
    "strategies",
    "metrics",
    "task-store",
    "network-model",
    "layers",
    "learner",
    "protocol",
    "scenarios",
    "client-node",
    "coordinator",
    "simulation",
    "lyceum",
    "tests/src",
    "fuzz",
    "examples/own-plugins",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Source files below a folder; tests and what they build are no part of a program.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let of_tests = ["tests", "golden", "target", "laws"].contains(&name.as_str());
        match path.is_dir() {
            _ if of_tests || name.ends_with("testbed") => {}
            true => all.extend(sources(&path)),
            false if path.extension().is_some_and(|e| e == "rs") => all.push(path),
            false => {}
        }
    }
    all.sort();
    all
}

fn all_sources() -> Vec<PathBuf> {
    let folders = CRATES.iter().map(|folder| root().join(folder));
    folders.flat_map(|folder| sources(&folder)).collect()
}

fn parsed(path: &Path) -> syn::File {
    let text = fs::read_to_string(path).unwrap();
    syn::parse_file(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let path = attribute.path();
        path.is_ident("test")
            || path.is_ident("cfg")
                && attribute
                    .parse_args::<syn::Ident>()
                    .is_ok_and(|word| word == "test")
    })
}

/// Looks at functions: their lengths and depths.
#[derive(Default)]
struct Functions {
    /// Name, line, lines, depth.
    found: Vec<(String, usize, usize, usize)>,
}

impl Functions {
    fn add(&mut self, signature: &syn::Signature, block: &Block) {
        let from = signature.fn_token.span.start().line;
        let to = block.brace_token.span.close().end().line;
        let mut depth = Depth::default();
        depth.visit_block(block);
        let name = signature.ident.to_string();
        self.found.push((name, from, to - from + 1, depth.most));
    }
}

impl<'a> Visit<'a> for Functions {
    fn visit_item_mod(&mut self, item: &'a ItemMod) {
        if !is_test(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_fn(&mut self, item: &'a ItemFn) {
        if !is_test(&item.attrs) {
            self.add(&item.sig, &item.block);
            visit::visit_item_fn(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'a ImplItemFn) {
        if !is_test(&item.attrs) {
            self.add(&item.sig, &item.block);
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_trait_item_fn(&mut self, item: &'a TraitItemFn) {
        if let Some(block) = &item.default {
            self.add(&item.sig, block);
        }
    }
}

#[derive(Default)]
struct Depth {
    now: usize,
    most: usize,
}

impl<'a> Visit<'a> for Depth {
    fn visit_expr(&mut self, expr: &'a Expr) {
        let deeper = match expr {
            Expr::If(_)
            | Expr::Match(_)
            | Expr::ForLoop(_)
            | Expr::While(_)
            | Expr::Loop(_)
            | Expr::Async(_)
            | Expr::Unsafe(_)
            | Expr::Block(_) => true,
            Expr::Closure(closure) => matches!(*closure.body, Expr::Block(_)),
            _ => false,
        };
        self.now += usize::from(deeper);
        self.most = self.most.max(self.now);
        match expr {
            // `else if` goes on with what it stands beside, and the block of a closure is the closure.
            Expr::If(choice) => self.visit_choice(choice),
            Expr::Closure(closure) => match &*closure.body {
                Expr::Block(body) => self.visit_block(&body.block),
                _ => visit::visit_expr(self, expr),
            },
            _ => visit::visit_expr(self, expr),
        }
        self.now -= usize::from(deeper);
    }

    // A function within a function is looked at by itself.
    fn visit_item(&mut self, _: &'a Item) {}
}

impl Depth {
    fn visit_choice(&mut self, choice: &syn::ExprIf) {
        self.visit_expr(&choice.cond);
        self.visit_block(&choice.then_branch);
        match choice.else_branch.as_ref().map(|(_, other)| &**other) {
            Some(Expr::If(next)) => self.visit_choice(next),
            Some(Expr::Block(block)) => self.visit_block(&block.block),
            _ => {}
        }
    }
}

#[test]
fn functions_are_short_and_flat() {
    let mut wrong = String::new();
    for path in all_sources() {
        let mut functions = Functions::default();
        functions.visit_file(&parsed(&path));
        for (name, line, lines, depth) in functions.found {
            let path = path.strip_prefix(root()).unwrap();
            if lines > LINES || depth > DEPTH {
                let path = path.display();
                writeln!(
                    wrong,
                    "{path}:{line}: `{name}` has {lines} lines, depth {depth}"
                )
                .unwrap();
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "at most {LINES} lines and depth {DEPTH}:\n{wrong}"
    );
}

/// The module of a file within its crate, such as `["run", "seal"]`.
fn module_of(path: &Path) -> Vec<String> {
    let parts: Vec<String> = path
        .with_extension("")
        .iter()
        .map(|part| part.to_string_lossy().into_owned())
        .collect();
    let source = parts.iter().rposition(|part| part == "src").unwrap();
    let mut module = parts[source + 1..].to_vec();
    if module
        .last()
        .is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str()))
    {
        module.pop();
    }
    module
}

/// The paths that `use` names outside of tests.
#[derive(Default)]
struct Uses(Vec<Vec<String>>);

impl Uses {
    fn walk(&mut self, tree: &UseTree, before: &[String]) {
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.walk(&path.tree, &with(&path.ident)),
            UseTree::Name(name) => self.0.push(with(&name.ident)),
            UseTree::Rename(name) => self.0.push(with(&name.ident)),
            UseTree::Glob(_) => self.0.push(before.to_vec()),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.walk(tree, before)),
        }
    }
}

impl<'a> Visit<'a> for Uses {
    fn visit_item_mod(&mut self, item: &'a ItemMod) {
        if !is_test(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'a ItemUse) {
        if !is_test(&item.attrs) {
            self.walk(&item.tree, &[]);
        }
    }
}

/// A used path from the root of the crate, where it is in the crate.
fn absolute(used: &[String], module: &[String], tops: &BTreeSet<String>) -> Option<Vec<String>> {
    let (first, rest) = used.split_first()?;
    match first.as_str() {
        "crate" => Some(rest.to_vec()),
        "self" => Some([module, rest].concat()),
        "super" => {
            let up = used.iter().take_while(|part| *part == "super").count();
            let base = &module[..module.len().checked_sub(up)?];
            Some([base, &used[up..]].concat())
        }
        other if tops.contains(&[module, &[other.to_string()]].concat().join("::")) => {
            Some([module, used].concat())
        }
        _ => None,
    }
}

/// Siblings that use each other: from the module in whose folder they stand.
type Arrows = BTreeMap<Vec<String>, BTreeMap<String, BTreeSet<String>>>;

fn arrows(folder: &Path) -> Arrows {
    let files: Vec<_> = sources(folder)
        .into_iter()
        .filter(|path| path.iter().any(|part| part == "src"))
        .map(|path| (module_of(&path), path))
        .collect();
    let known: BTreeSet<String> = files.iter().map(|(module, _)| module.join("::")).collect();
    let mut arrows = Arrows::new();
    for (module, path) in &files {
        let mut uses = Uses::default();
        uses.visit_file(&parsed(path));
        for used in &uses.0 {
            let Some(target) = absolute(used, module, &known) else {
                continue;
            };
            let shared = module
                .iter()
                .zip(&target)
                .take_while(|(a, b)| a == b)
                .count();
            let (Some(from), Some(to)) = (module.get(shared), target.get(shared)) else {
                continue;
            };
            let parent = module[..shared].to_vec();
            if known.contains(&target[..=shared].join("::")) {
                let of_parent = arrows.entry(parent).or_default();
                of_parent
                    .entry(from.clone())
                    .or_default()
                    .insert(to.clone());
            }
        }
    }
    arrows
}

/// A circle among siblings, if there is one.
fn circle(of: &BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
    fn walk(
        at: &str,
        of: &BTreeMap<String, BTreeSet<String>>,
        way: &mut Vec<String>,
        done: &mut BTreeSet<String>,
    ) -> Option<Vec<String>> {
        if let Some(begin) = way.iter().position(|before| before == at) {
            return Some(way[begin..].to_vec());
        }
        if !done.insert(at.to_string()) {
            return None;
        }
        way.push(at.to_string());
        let found = of
            .get(at)
            .and_then(|next| next.iter().find_map(|to| walk(to, of, way, done)));
        way.pop();
        found
    }
    let mut done = BTreeSet::new();
    of.keys()
        .find_map(|from| walk(from, of, &mut Vec::new(), &mut done))
}

#[test]
fn modules_side_by_side_need_each_other_in_no_circle() {
    let mut wrong = String::new();
    for folder in CRATES {
        for (parent, of) in arrows(&root().join(folder)) {
            if let Some(way) = circle(&of) {
                let parent = parent.join("::");
                writeln!(wrong, "{folder} {parent}: {}", way.join(" -> ")).unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "circles of modules:\n{wrong}");
}

#[test]
fn what_is_counted_is_counted_right() {
    let text = "
        /// Not counted.
        fn a(x: u8) -> u8 {
            match x {
                0 => { if x > 1 { 2 } else if x > 2 { 3 } else { 4 } }
                _ => (0..x).map(|y| { let z = y; z }).sum(),
            }
        }
        #[cfg(test)]
        mod tests { fn b() { loop { loop { loop { loop { loop { loop {} } } } } } } }
    ";
    let mut functions = Functions::default();
    functions.visit_file(&syn::parse_file(text).unwrap());
    assert_eq!(functions.found, [("a".to_string(), 3, 6, 3)]);
    let pair = |a: &str, b: &str| (a.to_string(), BTreeSet::from([b.to_string()]));
    let round = BTreeMap::from([pair("a", "b"), pair("b", "c"), pair("c", "b")]);
    assert_eq!(circle(&round), Some(vec!["b".into(), "c".into()]));
    assert_eq!(
        circle(&BTreeMap::from([pair("a", "b"), pair("b", "c")])),
        None
    );
}
