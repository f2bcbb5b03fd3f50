//! [`World`]: the evaluation, with CEL's operators: what is false on one side of `&&` hides what is missing on the other.

use cel::IdedExpr;
use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, LiteralValue, SelectExpr, operators};

use super::outcomes::{Outcomes, agree, compare, decided};
use super::{Source, path, variable};
use crate::Action;
use crate::vocabulary::{Fact, Variable};

/// One combination of facts that are there and facts that are not.
pub(super) struct World<'w, 'e> {
    pub(super) action: Action,
    pub(super) is_there: &'w dyn Fn(Source) -> bool,
    /// The accumulators of the macros around, and what each may be.
    pub(super) scope: Vec<(&'e str, Outcomes<'e>)>,
}

impl<'e> World<'_, 'e> {
    pub(super) fn evaluate(&self, expression: &'e IdedExpr) -> Outcomes<'e> {
        if let Some(variable) = variable(expression) {
            return match &expression.expr {
                Expr::Select(select) if select.test => self.asks(variable, expression),
                _ => self.reads(variable, expression),
            };
        }
        match &expression.expr {
            Expr::Literal(LiteralValue::Boolean(value)) => Outcomes::bool(*value.inner(), !*value.inner()),
            Expr::Literal(LiteralValue::String(value)) => Outcomes::texts(&[value.inner()]),
            Expr::Literal(LiteralValue::Null) => Outcomes::nullness(true),
            Expr::Ident(name) => {
                let found = self.scope.iter().rev().find(|(known, _)| known == name);
                found.map_or_else(Outcomes::other, |(_, outcomes)| outcomes.clone())
            }
            Expr::Select(select) => self.entry(select),
            Expr::Call(call) => self.call(call),
            Expr::Comprehension(comprehension) => self.comprehension(comprehension),
            Expr::List(list) => self.strict(list.elements.iter()),
            Expr::Map(map) => self.strict(map.entries.iter().flat_map(|entry| match &entry.expr {
                EntryExpr::StructField(field) => vec![&field.value],
                EntryExpr::MapEntry(entry) => vec![&entry.key, &entry.value],
            })),
            Expr::Literal(_) | Expr::Struct(_) | Expr::Unspecified => Outcomes::other(),
        }
    }

    /// What a variable gives.
    fn reads(&self, variable: &'static Variable, expression: &IdedExpr) -> Outcomes<'e> {
        let is_there = (self.is_there)(Source::of(variable.fact));
        match variable.fact {
            Fact::Action => Outcomes::texts(&[self.action.as_str()]),
            Fact::Method => Outcomes::texts(self.action.methods()),
            // These are null where they are not there.
            Fact::Oidc | Fact::ServiceAccount => Outcomes::nullness(!is_there),
            _ if is_there => Outcomes::other(),
            _ => Outcomes::missing(path(expression)),
        }
    }

    /// What `has()` gives of a variable.
    fn asks(&self, variable: &'static Variable, expression: &IdedExpr) -> Outcomes<'e> {
        let source = Source::of(variable.fact);
        let is_there = (self.is_there)(source);
        match (variable.fact, source) {
            // They are null where they are not there, and null is there.
            (Fact::Oidc | Fact::ServiceAccount, _) => Outcomes::bool(true, false),
            // And null has no fields to ask for.
            (_, Source::Oidc | Source::ServiceAccount) if !is_there => Outcomes::missing(path(expression)),
            _ => Outcomes::bool(is_there, !is_there),
        }
    }

    /// An entry of a map, or whether there is one. Which there are is not known, nor is that what this looks for.
    fn entry(&self, select: &'e SelectExpr) -> Outcomes<'e> {
        let operand = self.evaluate(&select.operand);
        Outcomes {
            missing: operand.missing,
            ..if select.test {
                Outcomes::bool(true, true)
            } else {
                Outcomes::other()
            }
        }
    }

    fn call(&self, call: &'e CallExpr) -> Outcomes<'e> {
        match (call.func_name.as_str(), call.args.as_slice()) {
            (operators::LOGICAL_NOT, [operand]) => self.evaluate(operand).not(),
            (operators::LOGICAL_AND, [left, right]) => self.evaluate(left).and(self.evaluate(right)),
            (operators::LOGICAL_OR, [left, right]) => {
                let (left, right) = (self.evaluate(left), self.evaluate(right));
                left.not().and(right.not()).not()
            }
            (operators::CONDITIONAL, [condition, then, otherwise]) => {
                let condition = self.evaluate(condition);
                let mut found = Outcomes {
                    missing: condition.missing.clone(),
                    ..Outcomes::default()
                };
                if condition.may_be_true() {
                    found = found.or(self.evaluate(then));
                }
                if condition.may_be_false() {
                    found = found.or(self.evaluate(otherwise));
                }
                found
            }
            (operators::EQUALS, [left, right]) => self.equality(left, right, false),
            (operators::NOT_EQUALS, [left, right]) => self.equality(left, right, true),
            (operators::IN, [element, list]) => self.membership(element, list),
            (name, [argument]) if let Some(target) = call.target.as_deref() => {
                let known = self.function(name, target, argument);
                known.unwrap_or_else(|| self.strict([target, argument].into_iter()))
            }
            _ => self.strict(call.target.as_deref().into_iter().chain(&call.args)),
        }
    }

    fn equality(&self, left: &'e IdedExpr, right: &'e IdedExpr, is_negated: bool) -> Outcomes<'e> {
        let (left, right) = (self.evaluate(left), self.evaluate(right));
        let is_equal = match (&left.texts, &right.texts, left.null, right.null) {
            (Some(left), Some(right), ..) => compare(left, right, |left, right| left == right),
            (_, _, Some(left), Some(right)) if left || right => Some(left && right),
            _ => None,
        };
        decided(&[left, right], is_equal.map(|is_equal| is_equal != is_negated))
    }

    fn membership(&self, element: &'e IdedExpr, list: &'e IdedExpr) -> Outcomes<'e> {
        let (element, whole) = (self.evaluate(element), self.evaluate(list));
        let members = self.constants(list);
        let is_in = element.texts.as_ref().zip(members);
        let is_in = is_in.and_then(|(texts, members)| agree(texts.iter().map(|text| members.contains(text))));
        decided(&[element, whole], is_in)
    }

    /// The texts of a list that are all known.
    fn constants(&self, list: &'e IdedExpr) -> Option<Vec<&'e str>> {
        let Expr::List(list) = &list.expr else { return None };
        let text = |element| match self.evaluate(element).texts?.as_slice() {
            [text] => Some(*text),
            _ => None,
        };
        list.elements.iter().map(text).collect()
    }

    /// A function of a text or of a list, where both sides are known.
    fn function(&self, name: &str, target: &'e IdedExpr, argument: &'e IdedExpr) -> Option<Outcomes<'e>> {
        if name == "contains" && matches!(target.expr, Expr::List(_)) {
            return Some(self.membership(argument, target));
        }
        let holds: fn(&str, &str) -> bool = match name {
            "contains" => |text, part| text.contains(part),
            "startsWith" => |text, part| text.starts_with(part),
            "endsWith" => |text, part| text.ends_with(part),
            _ => return None,
        };
        let (target, argument) = (self.evaluate(target), self.evaluate(argument));
        let known = match (&target.texts, &argument.texts) {
            (Some(texts), Some(parts)) => compare(texts, parts, holds),
            _ => None,
        };
        Some(decided(&[target, argument], known))
    }

    /// A value that needs all of its parts.
    fn strict(&self, parts: impl Iterator<Item = &'e IdedExpr>) -> Outcomes<'e> {
        let parts: Vec<Outcomes<'e>> = parts.map(|part| self.evaluate(part)).collect();
        Outcomes {
            is_other: parts.iter().all(Outcomes::has_value),
            missing: parts.into_iter().find_map(|part| part.missing),
            ..Outcomes::default()
        }
    }

    /// A macro over a list, which may be empty.
    fn comprehension(&self, comprehension: &'e ComprehensionExpr) -> Outcomes<'e> {
        let range = self.evaluate(&comprehension.iter_range);
        let mut accumulator = self.evaluate(&comprehension.accu_init);
        let is_tags = variable(&comprehension.iter_range).is_some_and(|found| found.fact == Fact::Tags);
        // Nothing else is pushed under tags.
        let is_empty = is_tags && self.action != Action::PutManifest;
        let mut may_grow = !is_empty;
        while may_grow {
            let inner = self.within(&comprehension.accu_var, accumulator.clone());
            let next = accumulator.clone().or(inner.evaluate(&comprehension.loop_step));
            // What it may be only grows, and has four things to grow by.
            may_grow = next.kinds() != accumulator.kinds();
            accumulator = next;
        }
        let result = self
            .within(&comprehension.accu_var, accumulator)
            .evaluate(&comprehension.result);
        if !range.has_value() {
            return range;
        }
        Outcomes {
            missing: range.missing.or(result.missing),
            texts: None,
            null: None,
            ..result
        }
    }

    fn within(&self, name: &'e str, outcomes: Outcomes<'e>) -> Self {
        let mut scope = self.scope.clone();
        scope.push((name, outcomes));
        Self { scope, ..*self }
    }
}
