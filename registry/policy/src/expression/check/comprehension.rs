//! Checks of macros over lists. Nested macros, or macros over lists that an expression computes, could take time and
//! memory out of proportion to the text, so both are refused.

use cel::IdedExpr;
use cel::common::ast::ComprehensionExpr;

use super::path::is_path;
use super::{Checked, Checker, Scope, with_article};
use crate::vocabulary::ValueType;

impl Checker<'_> {
    /// The type of what `all`, `exists`, `exists_one`, `map` or `filter` gives.
    pub(super) fn comprehension(
        &self,
        expression: &IdedExpr,
        comprehension: &ComprehensionExpr,
        scope: Option<&Scope<'_>>,
    ) -> Checked<ValueType> {
        // All parts are named, so that a new one cannot go unchecked.
        let ComprehensionExpr {
            iter_range,
            iter_var,
            iter_var2,
            accu_var,
            accu_init,
            loop_cond,
            loop_step,
            result,
        } = comprehension;
        let refuse = |message: String| Err(self.positions.error(self.positions.called_name(expression), message));
        if scope.is_some() {
            return refuse("a macro within a macro is not allowed: it could take too long".to_owned());
        }
        if iter_var2.is_some() {
            return refuse("a macro takes one name".to_owned());
        }
        if self.roots.iter().any(|root| root.name == iter_var) {
            return refuse(format!(
                "`{iter_var}` would hide the variable of that name: choose another name"
            ));
        }
        let element = match self.value(iter_range, None)? {
            ValueType::List(element) if is_path(iter_range) => *element,
            ValueType::List(_) => {
                return refuse(
                    "a macro is called on a list of the request or the identity, as in `request.tags`, not on a list \
                     that the expression makes"
                        .to_owned(),
                );
            }
            other => {
                return refuse(format!(
                    "a macro is called on a list of the request or the identity, as in `request.tags`, and this is {}",
                    with_article(other)
                ));
            }
        };
        let accumulator_type = self.value(accu_init, None)?;
        let scope = Scope {
            variable: iter_var,
            variable_type: element,
            accumulator: accu_var,
            accumulator_type,
        };
        self.value(loop_cond, Some(&scope))?;
        self.value(loop_step, Some(&scope))?;
        self.value(result, Some(&scope))
    }
}
