//! How large an expression may be. The CEL library has no limits of its own, and short texts can exhaust the stack or
//! take seconds.

use cel::IdedExpr;
use cel::common::ast::{EntryExpr, Expr};

use crate::pattern::Kind;

/// The longest text, in bytes.
pub(super) const MAX_LENGTH: usize = 2048;

/// The deepest syntax tree.
const MAX_DEPTH: usize = 64;

/// The largest syntax tree, in nodes, what macros expand to included.
const MAX_NODES: usize = 500;

/// What is too large about `root`, if anything. Recurses as deep as the tree goes, so it needs the parser's stack.
pub(super) fn exceeded(root: &IdedExpr) -> Option<String> {
    let (depth, nodes) = measure(root);
    let patterns = patterns(root);
    if depth > MAX_DEPTH {
        Some(format!(
            "the expression is nested {depth} deep: at most {MAX_DEPTH} is allowed; {SPLIT}"
        ))
    } else if patterns > MAX_PATTERNS {
        Some(format!(
            "the expression has {patterns} patterns: at most {MAX_PATTERNS} are allowed; {SPLIT}"
        ))
    } else if nodes > MAX_NODES {
        Some(format!(
            "the expression has {nodes} parts: at most {MAX_NODES} are allowed; {SPLIT}"
        ))
    } else {
        None
    }
}

/// The most patterns of `matches()` and `glob()`: each is kept compiled.
const MAX_PATTERNS: usize = 8;

/// How many patterns there are.
fn patterns(expression: &IdedExpr) -> usize {
    let mut found = match &expression.expr {
        Expr::Call(call) => usize::from(Kind::of_function(&call.func_name).is_some()),
        _ => 0,
    };
    for_each_child(expression, &mut |child| found += patterns(child));
    found
}

/// What to do about an expression that is too large.
pub(super) const SPLIT: &str = "split it into several rules";

fn measure(expression: &IdedExpr) -> (usize, usize) {
    let (mut depth, mut nodes) = (0, 1);
    for_each_child(expression, &mut |child| {
        let (child_depth, child_nodes) = measure(child);
        depth = depth.max(child_depth);
        nodes += child_nodes;
    });
    (depth + 1, nodes)
}

/// Calls `visit` with each direct part of an expression, in the order of the text where it has one.
pub(super) fn for_each_child<'e>(expression: &'e IdedExpr, visit: &mut impl FnMut(&'e IdedExpr)) {
    match &expression.expr {
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => {}
        Expr::Call(call) => call.target.as_deref().into_iter().chain(&call.args).for_each(visit),
        Expr::Comprehension(comprehension) => {
            visit(&comprehension.iter_range);
            visit(&comprehension.accu_init);
            visit(&comprehension.loop_cond);
            visit(&comprehension.loop_step);
            visit(&comprehension.result);
        }
        Expr::List(list) => list.elements.iter().for_each(visit),
        Expr::Map(map) => map
            .entries
            .iter()
            .for_each(|entry| for_each_in_entry(&entry.expr, visit)),
        Expr::Select(select) => visit(&select.operand),
        Expr::Struct(construction) => {
            construction
                .entries
                .iter()
                .for_each(|entry| for_each_in_entry(&entry.expr, visit));
        }
    }
}

fn for_each_in_entry<'e>(entry: &'e EntryExpr, visit: &mut impl FnMut(&'e IdedExpr)) {
    match entry {
        EntryExpr::StructField(field) => visit(&field.value),
        EntryExpr::MapEntry(entry) => {
            visit(&entry.key);
            visit(&entry.value);
        }
    }
}
