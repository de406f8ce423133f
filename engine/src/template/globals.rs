//! Functions that templates call: `raise_exception`, `strftime_now`, `namespace` and Jinja's own.

use minijinja::value::{Kwargs, Rest};
use minijinja::{Environment, Error, ErrorKind, State, Value};

use super::budget;
use super::clock::Clock;
use super::error::{Raised, fail};
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
        move |format: String| match jiff::fmt::strtime::format(&format, &clock.now()) {
            Ok(text) => Ok(Value::from(text)),
            Err(error) => fail(format!("strftime_now: {error}")),
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
                arguments.push(Value::from(named));
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
    environment.add_function("cycler", minijinja_contrib::globals::cycler);
    environment.add_function("joiner", minijinja_contrib::globals::joiner);
}
