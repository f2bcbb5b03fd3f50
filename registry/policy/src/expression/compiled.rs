//! [`Compiled`]: a checked syntax tree and the patterns that it refers to.

use cel::common::ast::{CallExpr, EntryExpr, Expr, LiteralValue};
use cel::common::value::Val;
use cel::context::VariableResolver;
use cel::{Context, IdedExpr, Value};

use super::environment;
use crate::pattern::{Kind, Pattern};

/// An expression that is ready to be evaluated.
pub(super) struct Compiled {
    pub(super) root: IdedExpr,
    pub(super) patterns: Vec<Pattern>,
}

impl Compiled {
    /// Compiles the patterns of a checked tree, and puts variables in their places.
    pub(super) fn new(mut root: IdedExpr) -> Self {
        let mut patterns = Vec::new();
        visit(&mut root, &mut patterns);
        Self { root, patterns }
    }

    /// What the expression gives with these variables, read by `read`; otherwise what kept it from being evaluated.
    pub(super) fn evaluate<T>(
        &self,
        variables: &dyn VariableResolver,
        read: impl FnOnce(&dyn Val) -> Result<T, String>,
    ) -> Result<T, String> {
        let mut context = Context::with_env(environment::shared());
        context.set_variable_resolver(variables);
        let value = Value::resolve_val(&self.root, &context).map_err(|error| environment::describe(&error))?;
        read(value.as_ref())
    }
}

fn visit(expression: &mut IdedExpr, patterns: &mut Vec<Pattern>) {
    match &mut expression.expr {
        // The check has refused constructions of types.
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) | Expr::Struct(_) => {}
        Expr::Call(call) => {
            replace(call, patterns);
            let target = call.target.as_deref_mut();
            target
                .into_iter()
                .chain(&mut call.args)
                .for_each(|part| visit(part, patterns));
        }
        Expr::Comprehension(comprehension) => {
            for part in [
                &mut comprehension.iter_range,
                &mut comprehension.accu_init,
                &mut comprehension.loop_cond,
                &mut comprehension.loop_step,
                &mut comprehension.result,
            ] {
                visit(part, patterns);
            }
        }
        Expr::List(list) => list.elements.iter_mut().for_each(|element| visit(element, patterns)),
        Expr::Map(map) => {
            for entry in &mut map.entries {
                match &mut entry.expr {
                    EntryExpr::StructField(field) => visit(&mut field.value, patterns),
                    EntryExpr::MapEntry(entry) => {
                        visit(&mut entry.key, patterns);
                        visit(&mut entry.value, patterns);
                    }
                }
            }
        }
        Expr::Select(select) => visit(&mut select.operand, patterns),
    }
}

/// Compiles the pattern of a call that has one. The check has made sure that it can be.
fn replace(call: &mut CallExpr, patterns: &mut Vec<Pattern>) {
    let Some(kind) = Kind::of_function(&call.func_name) else {
        return;
    };
    let Some(argument) = call.args.last_mut() else { return };
    let Expr::Literal(LiteralValue::String(text)) = &argument.expr else {
        return;
    };
    if let Ok(pattern) = Pattern::compile(kind, text.inner()) {
        argument.expr = Expr::Ident(format!("{}{}", Pattern::VARIABLE, patterns.len()));
        patterns.push(pattern);
    }
}
