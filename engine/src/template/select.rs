//! Jinja's filters on sequences: choosing, mapping, sorting, grouping.

use minijinja::value::{Kwargs, Rest};
use minijinja::{Environment, Error, State, Value};

use super::arguments::{Arguments, integer};
use super::error::{fail, undefined};
use super::filters::{Filter, add};
use super::number::{Number, arithmetic};
use super::sort::{sort_by_keys, sort_key};
use super::text::display;
use super::{budget, objects, operators};

pub(super) fn register(environment: &mut Environment<'static>) {
    add(environment, FILTERS);
    for name in ["select", "reject", "selectattr", "rejectattr"] {
        environment.add_filter(
            name,
            move |state: &mut State, value: Value, rest: Rest<Value>, named: Kwargs| {
                choose(
                    state,
                    &value,
                    &Arguments::with_keywords(&rest, &named)?,
                    name.starts_with('s'),
                    name.ends_with("attr"),
                )
            },
        );
    }
}

static FILTERS: &[(&str, Filter)] = &[
    ("list", |state, value, _| {
        budget::charge_items(state, objects::length(value).unwrap_or(0))?;
        Ok(Value::from(objects::items(value)?))
    }),
    ("first", |_, value, _| {
        Ok(objects::items(value)?
            .into_iter()
            .next()
            .unwrap_or(Value::UNDEFINED))
    }),
    ("last", last),
    ("join", join),
    ("map", map),
    ("sort", sort),
    ("unique", unique),
    ("min", |_, value, arguments| {
        extreme(value, arguments, false)
    }),
    ("max", |_, value, arguments| extreme(value, arguments, true)),
    ("sum", sum),
    ("reverse", reverse),
    ("batch", batch),
    ("slice", slices),
    ("groupby", groupby),
];

/// Looks up `a.b.0` from an item, each part as the template's `[...]` does.
fn path(item: &Value, attribute: &Value) -> Result<Value, Error> {
    let Some(text) = attribute.as_str() else {
        return operators::item(item, attribute);
    };
    let mut value = item.clone();
    for part in text.split('.') {
        let key = match part.parse::<i64>() {
            Ok(index) if part.bytes().all(|b| b.is_ascii_digit()) => Value::from(index),
            _ => Value::from(part),
        };
        value = operators::item(&value, &key)?;
    }
    Ok(value)
}

/// The item itself, or what the attribute is of it.
fn key_of(item: &Value, attribute: Option<&Value>) -> Result<Value, Error> {
    match attribute.filter(|attribute| !attribute.is_none()) {
        Some(attribute) => path(item, attribute),
        None => Ok(item.clone()),
    }
}

/// The items, or none of what is false: these filters take none and undefined for an empty list.
fn items_if_true(value: &Value) -> Result<Vec<Value>, Error> {
    if value.is_true() {
        objects::items(value)
    } else {
        Ok(Vec::new())
    }
}

fn truth(value: Option<Value>) -> bool {
    value.is_some_and(|value| value.is_true())
}

fn choose(
    state: &mut State<'_, '_>,
    value: &Value,
    arguments: &Arguments,
    keep: bool,
    by_attribute: bool,
) -> Result<Value, Error> {
    let mut rest = arguments.positional();
    let mut attribute = None;
    if by_attribute {
        match rest.split_first() {
            Some((first, others)) => (attribute, rest) = (Some(first), others),
            None => return fail("selectattr and rejectattr need the name of an attribute"),
        }
    }
    let mut kept = Vec::new();
    for item in items_if_true(value)? {
        let subject = key_of(&item, attribute)?;
        let holds = match rest.split_first() {
            None => subject.is_true(),
            Some((test, others)) => {
                let mut call = vec![subject];
                call.extend_from_slice(others);
                state.perform_test(&display(test)?, &call)?
            }
        };
        if holds == keep {
            kept.push(item);
        }
    }
    budget::charge_items(state, kept.len())?;
    Ok(objects::generator(kept))
}

fn map(state: &mut State<'_, '_>, value: &Value, arguments: &Arguments) -> Result<Value, Error> {
    let mut mapped = Vec::new();
    let items = items_if_true(value)?;
    if let (Some(attribute), []) = (arguments.keyword("attribute"), arguments.positional()) {
        if let Some(other) = arguments
            .keywords()
            .find(|name| !["attribute", "default"].contains(name))
        {
            return fail(format!("map: there is no argument '{other}'"));
        }
        for item in items {
            let found = path(&item, attribute)?;
            mapped.push(match arguments.keyword("default") {
                Some(default) if found.is_undefined() => default.clone(),
                _ => found,
            });
        }
    } else {
        let Some((filter, others)) = arguments.positional().split_first() else {
            return fail("map needs a filter or an attribute");
        };
        let filter = display(filter)?.into_owned();
        let named: Vec<(String, Value)> = arguments
            .keywords()
            .filter_map(|name| Some((name.to_owned(), arguments.keyword(name)?.clone())))
            .collect();
        for item in items {
            let mut call = vec![item];
            call.extend_from_slice(others);
            if !named.is_empty() {
                call.push(Value::from(named.iter().cloned().collect::<Kwargs>()));
            }
            mapped.push(state.apply_filter(&filter, &call)?);
        }
    }
    Ok(objects::generator(mapped))
}

fn last(_: &mut State<'_, '_>, value: &Value, _: &Arguments) -> Result<Value, Error> {
    if objects::type_name(value) == "generator" {
        return fail("last of a generator");
    }
    Ok(objects::items(value)?.pop().unwrap_or(Value::UNDEFINED))
}

fn join(state: &mut State<'_, '_>, value: &Value, arguments: &Arguments) -> Result<Value, Error> {
    let [separator, attribute] = arguments.bind(["d", "attribute"])?;
    let separator = separator
        .map(|separator| display(&separator).map(|text| text.into_owned()))
        .transpose()?;
    let separator = separator.unwrap_or_default();
    let mut joined = String::new();
    for (index, item) in objects::items(value)?.iter().enumerate() {
        let item = key_of(item, attribute.as_ref())?;
        let text = display(&item)?;
        budget::charge(state, separator.len() + text.len())?;
        if index > 0 {
            joined.push_str(&separator);
        }
        joined.push_str(&text);
    }
    Ok(Value::from(joined))
}

fn sort(_: &mut State<'_, '_>, value: &Value, arguments: &Arguments) -> Result<Value, Error> {
    let [reverse, case_sensitive, attribute] =
        arguments.bind(["reverse", "case_sensitive", "attribute"])?;
    let case_sensitive = truth(case_sensitive);
    let attribute = attribute.filter(|attribute| !attribute.is_none());
    let names: Vec<Value> = match attribute
        .as_ref()
        .map(|attribute| (attribute, attribute.as_str()))
    {
        None => Vec::new(),
        Some((_, Some(names))) => names
            .split(',')
            .map(|name| Value::from(name.trim()))
            .collect(),
        Some((index, None)) => vec![index.clone()],
    };
    let mut keyed = Vec::new();
    for item in objects::items(value)? {
        let key = match names.as_slice() {
            [] => sort_key(&item, case_sensitive),
            names => {
                let parts = names
                    .iter()
                    .map(|name| Ok(sort_key(&path(&item, name)?, case_sensitive)));
                Value::from(parts.collect::<Result<Vec<_>, Error>>()?)
            }
        };
        keyed.push((key, item));
    }
    let keyed = sort_by_keys(keyed, truth(reverse))?;
    Ok(Value::from(
        keyed.into_iter().map(|(_, item)| item).collect::<Vec<_>>(),
    ))
}

fn unique(_: &mut State<'_, '_>, value: &Value, arguments: &Arguments) -> Result<Value, Error> {
    let [case_sensitive, attribute] = arguments.bind(["case_sensitive", "attribute"])?;
    let case_sensitive = truth(case_sensitive);
    let mut seen = std::collections::HashSet::new();
    let mut kept = Vec::new();
    for item in objects::items(value)? {
        if seen.insert(sort_key(
            &key_of(&item, attribute.as_ref())?,
            case_sensitive,
        )) {
            kept.push(item);
        }
    }
    Ok(objects::generator(kept))
}

fn extreme(value: &Value, arguments: &Arguments, largest: bool) -> Result<Value, Error> {
    let [case_sensitive, attribute] = arguments.bind(["case_sensitive", "attribute"])?;
    let case_sensitive = truth(case_sensitive);
    let mut best: Option<(Value, Value)> = None;
    for item in objects::items(value)? {
        let key = sort_key(&key_of(&item, attribute.as_ref())?, case_sensitive);
        let better = match &best {
            None => true,
            Some((known, _)) => {
                let order = operators::order("<", &key, known)?;
                order
                    == Some(if largest {
                        std::cmp::Ordering::Greater
                    } else {
                        std::cmp::Ordering::Less
                    })
            }
        };
        if better {
            best = Some((key, item));
        }
    }
    Ok(best.map_or(Value::UNDEFINED, |(_, item)| item))
}

fn sum(_: &mut State<'_, '_>, value: &Value, arguments: &Arguments) -> Result<Value, Error> {
    let [attribute, start] = arguments.bind(["attribute", "start"])?;
    let mut total = start.unwrap_or_else(|| Value::from(0));
    for item in objects::items(value)? {
        let item = key_of(&item, attribute.as_ref())?;
        total = match (Number::of(&total), Number::of(&item)) {
            (Some(a), Some(b)) => arithmetic("+", a, b)?,
            _ if item.is_undefined() => return undefined("sum of an undefined value"),
            _ => {
                return fail(format!(
                    "sum of '{}' and '{}'",
                    objects::type_name(&total),
                    objects::type_name(&item)
                ));
            }
        };
    }
    Ok(total)
}

fn reverse(_: &mut State<'_, '_>, value: &Value, _: &Arguments) -> Result<Value, Error> {
    if let Some(text) = value.as_str() {
        return Ok(Value::from(text.chars().rev().collect::<String>()));
    }
    let mut items = objects::items(value)?;
    items.reverse();
    // Python makes an iterator of what can be reversed, and a list of what can't.
    if objects::type_name(value) == "generator" {
        Ok(Value::from(items))
    } else {
        Ok(objects::generator(items))
    }
}

fn batch(state: &mut State<'_, '_>, value: &Value, arguments: &Arguments) -> Result<Value, Error> {
    let [count, fill] = arguments.bind(["linecount", "fill_with"])?;
    let count = match integer(&count, "linecount")?.map(usize::try_from) {
        Some(Ok(count)) if count > 0 => count,
        _ => return fail("batch needs a number of items above 0"),
    };
    let mut rows: Vec<Vec<Value>> = objects::items(value)?
        .chunks(count)
        .map(<[Value]>::to_vec)
        .collect();
    if let (Some(last), Some(fill)) = (rows.last_mut(), fill.filter(|fill| !fill.is_none())) {
        budget::charge_items(state, count)?;
        last.resize(count, fill);
    }
    Ok(objects::generator(
        rows.into_iter().map(Value::from).collect(),
    ))
}

fn slices(state: &mut State<'_, '_>, value: &Value, arguments: &Arguments) -> Result<Value, Error> {
    let [count, fill] = arguments.bind(["slices", "fill_with"])?;
    let count = match integer(&count, "slices")?.map(usize::try_from) {
        Some(Ok(count)) if count > 0 => count,
        _ => return fail("slice needs a number of slices above 0"),
    };
    budget::charge_items(state, count)?;
    let items = objects::items(value)?;
    let (each, longer) = (items.len() / count, items.len() % count);
    let fill = fill.filter(|fill| !fill.is_none());
    let mut rest = items.as_slice();
    let mut columns = Vec::new();
    for index in 0..count {
        let (column, others) = rest.split_at(each + usize::from(index < longer));
        let mut column = column.to_vec();
        if index >= longer {
            column.extend(fill.clone());
        }
        columns.push(Value::from(column));
        rest = others;
    }
    Ok(objects::generator(columns))
}

fn groupby(_: &mut State<'_, '_>, value: &Value, arguments: &Arguments) -> Result<Value, Error> {
    let [attribute, default, case_sensitive] =
        arguments.bind(["attribute", "default", "case_sensitive"])?;
    let Some(attribute) = attribute else {
        return fail("groupby needs an attribute");
    };
    let case_sensitive = truth(case_sensitive);
    let mut keyed = Vec::new();
    for item in objects::items(value)? {
        let found = path(&item, &attribute)?;
        let found = if found.is_undefined() {
            default.clone().unwrap_or(found)
        } else {
            found
        };
        keyed.push((sort_key(&found, case_sensitive), (found, item)));
    }
    let keyed = sort_by_keys(keyed, false)?;
    let mut groups: Vec<(Value, Value, Vec<Value>)> = Vec::new();
    for (key, (found, item)) in keyed {
        match groups.last_mut() {
            Some((known, _, members)) if *known == key => members.push(item),
            _ => groups.push((key, found, vec![item])),
        }
    }
    let groups = groups.into_iter().map(|(_, grouper, members)| {
        Value::from_object(objects::Group {
            grouper,
            list: Value::from(members),
        })
    });
    Ok(Value::from(groups.collect::<Vec<_>>()))
}
