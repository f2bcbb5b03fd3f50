//! Where the parts of an expression stand in its text.

use cel::IdedExpr;
use cel::common::ast::{Expr, SelectExpr, SourceInfo};

use super::ExpressionError;
use super::limits::for_each_child;

/// The places of the parts of one expression. Offsets are in bytes.
pub(super) struct Positions<'e>(pub(super) &'e SourceInfo);

impl Positions<'_> {
    /// The first byte of an expression, parentheses around it not counted.
    pub(super) fn start(&self, expression: &IdedExpr) -> usize {
        let token = self.token(expression);
        match &expression.expr {
            Expr::Ident(name) if name.starts_with('.') => {
                return self
                    .text()
                    .get(..token)
                    .and_then(|before| before.rfind('.'))
                    .unwrap_or(token);
            }
            Expr::Call(call) if call.target.is_none() && self.is_written_as_call(expression) => {
                return self.called_name(expression);
            }
            Expr::Select(select) if select.test => return self.called_name(expression),
            _ => {}
        }
        let mut start = token;
        for_each_child(expression, &mut |child| start = start.min(self.start(child)));
        start
    }

    /// The token that stands for an expression: its operator, the dot of a field, the parenthesis of a call.
    pub(super) fn token(&self, expression: &IdedExpr) -> usize {
        self.0.offset_for(expression.id).map_or(0, |(start, _)| start as usize)
    }

    /// Whether an expression was written as `f(...)`: a call, or an operator that a macro brought in.
    pub(super) fn is_written_as_call(&self, expression: &IdedExpr) -> bool {
        self.text()
            .get(self.token(expression)..)
            .is_some_and(|rest| rest.starts_with('('))
    }

    /// The name of the function or macro that a call, or what a macro expanded to, was written with.
    pub(super) fn called_name(&self, call: &IdedExpr) -> usize {
        let parenthesis = self.token(call);
        let before = self.text().get(..parenthesis).unwrap_or_default().trim_end();
        before
            .rfind(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .map_or(0, |last| last + 1)
    }

    /// The name of the field that is selected.
    pub(super) fn field(&self, expression: &IdedExpr, select: &SelectExpr) -> usize {
        // The token of `has(a.b)` is its parenthesis, so there the search starts at the operand.
        let from = if select.test {
            self.token(&select.operand)
        } else {
            self.token(expression)
        };
        let rest = self.text().get(from..).unwrap_or_default();
        rest.match_indices('.')
            .map(|(dot, _)| dot + 1 + rest[dot + 1..].len() - rest[dot + 1..].trim_start().len())
            .find(|name| rest[*name..].starts_with(&select.field))
            .map_or(from, |name| from + name)
    }

    /// An error at a byte of the text.
    pub(super) fn error(&self, offset: usize, message: String) -> ExpressionError {
        let before = self.text().get(..offset).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        ExpressionError {
            line: ordinal(before.matches('\n').count()),
            column: ordinal(before[line_start..].chars().count()),
            message,
        }
    }

    fn text(&self) -> &str {
        &self.0.source
    }
}

/// What humans call the thing that `preceding` others come before.
fn ordinal(preceding: usize) -> u32 {
    u32::try_from(preceding).unwrap_or(u32::MAX).saturating_add(1)
}
