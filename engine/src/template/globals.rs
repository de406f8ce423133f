//! Functions that templates call: `raise_exception`, `strftime_now`, `namespace` and Jinja's own.

use minijinja::value::{Kwargs, Rest};
use minijinja::{Environment, Error, ErrorKind, State, Value};

use super::arguments::Arguments;
use super::budget;
use super::clock::Clock;
use super::error::{Raised, fail};
use super::strftime::{GROWTH, strftime};
use super::text;

pub(super) fn register(environment: &mut Environment<'static>, clock: impl Clock + 'static) {
    environment.add_function("raise_exception", |message: Value| {
        let message = text::display(&message)?.into_owned();
        Err::<Value, _>(
            Error::new(ErrorKind::InvalidOperation, message.clone()).with_source(Raised(message)),
        )
    });
    environment.add_function(
        "strftime_now",
        move |state: &mut State, Rest(positional): Rest<Value>, named: Kwargs| {
            let [format] = Arguments::with_keywords(&positional, &named)?.bind(["format"])?;
            match format.as_ref().and_then(Value::as_str) {
                Some(format) => {
                    budget::charge(state, format.len().saturating_mul(GROWTH))?;
                    Ok(Value::from(strftime(&clock.now(), format)))
                }
                None => fail("strftime_now takes a format, which is a text"),
            }
        },
    );
    // Namespaces and dictionaries are minijinja's, counted.
    for name in ["namespace", "dict"] {
        let original = environment
            .globals()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value);
        let Some(original) = original else { continue };
        environment.add_function(
            name,
            move |state: &mut State, Rest(mut arguments): Rest<Value>, named: Kwargs| {
                if name == "namespace" {
                    budget::charge_namespace(state)?;
                }
                // A dictionary by position gives the first names.
                let mut names = Vec::new();
                if name == "namespace"
                    && let Some(first) = arguments.pop()
                {
                    let Some(pairs) = super::objects::pairs(&first) else {
                        return fail("namespace takes a dictionary and named arguments");
                    };
                    for (key, value) in pairs {
                        names.push((text::display(&key)?.into_owned(), value));
                    }
                }
                for key in named.args() {
                    names.push((key.to_owned(), named.peek::<Value>(key)?));
                }
                arguments.push(Value::from(names.into_iter().collect::<Kwargs>()));
                for argument in &arguments {
                    budget::charge_value(state, argument.clone())?;
                }
                let made = original.call(state, &arguments)?;
                if name == "dict" {
                    budget::charge_value(state, made)
                } else {
                    Ok(made)
                }
            },
        );
    }
    environment.remove_global("debug");
    environment.add_function("cycler", |Rest(items): Rest<Value>| {
        minijinja_contrib::globals::cycler(items)
    });
    environment.add_function("joiner", minijinja_contrib::globals::joiner);
}
