//! From source to instructions, and running them.
//!
//! minijinja compiles a template to instructions for a stack machine. Before they run, each one whose meaning differs from
//! Python's is replaced by a call of one of our functions, which find their operands on the same stack; jumps are adjusted.

use std::collections::BTreeMap;

use minijinja::machinery::{self, CodeGenerator, Instruction, Instructions};
use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, Value};

use super::error::TemplateError;

/// The name that errors carry.
const NAME: &str = "template";

/// Instructions ready to run.
pub(super) fn compile(source: &str) -> Result<Instructions<'_>, TemplateError> {
    let syntax = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .build()?;
    let tree = machinery::parse(source, NAME, syntax)?;
    let mut generator = CodeGenerator::new(NAME, source);
    generator.compile_stmt(&tree);
    let (instructions, blocks) = generator.finish();
    if !blocks.is_empty() {
        return Err(TemplateError::internal(
            "blocks and template inheritance have no place in a chat template",
        ));
    }
    check_defaults(&instructions)?;
    Ok(adapt(&instructions))
}

/// Renders with these variables.
pub(super) fn run(
    source: &str,
    environment: &Environment<'static>,
    variables: Value,
) -> Result<String, TemplateError> {
    let instructions = compile(source)?;
    let blocks = BTreeMap::new();
    let mut text = String::new();
    let mut output = machinery::make_string_output(&mut text);
    machinery::eval(
        environment,
        &instructions,
        variables,
        &blocks,
        &mut output,
        AutoEscape::None,
    )?;
    drop(output);
    Ok(text)
}

/// Refuses macros whose parameters' defaults refer to other parameters: the machine fills in the last one first, and so
/// would find them undefined.
fn check_defaults(instructions: &Instructions<'_>) -> Result<(), TemplateError> {
    for index in 1.. {
        let Some(instruction) = instructions.get(index) else {
            break;
        };
        let (Instruction::BuildMacro(name, start, _), Some(Instruction::LoadConst(names))) =
            (instruction, instructions.get(index - 1))
        else {
            continue;
        };
        let names: Vec<Value> = names.try_iter()?.collect();
        let is_parameter = |name: &str| names.iter().any(|known| known.as_str() == Some(name));
        let mut missing = names.len();
        for at in *start.. {
            match instructions.get(at) {
                _ if missing == 0 => break,
                Some(Instruction::StoreLocal(stored)) if is_parameter(stored) => missing -= 1,
                Some(Instruction::Lookup(used)) if is_parameter(used) => {
                    return Err(TemplateError::internal(format!(
                        "macro {name}: a parameter's default refers to parameter '{used}', which is not supported"
                    )));
                }
                Some(_) => {}
                None => break,
            }
        }
    }
    Ok(())
}

/// The same program with our functions in it.
fn adapt<'s>(old: &Instructions<'s>) -> Instructions<'s> {
    let all: Vec<&Instruction<'s>> = (0..).map_while(|index| old.get(index)).collect();
    // Where each instruction begins in the new program; one more for jumps to the end.
    let mut starts = Vec::with_capacity(all.len() + 1);
    let mut next = 0u32;
    for instruction in &all {
        starts.push(next);
        next += replacement(instruction).map_or(1, |new| new.len() as u32);
    }
    starts.push(next);
    let moved = |target: u32| starts.get(target as usize).copied().unwrap_or(next);
    let mut new = Instructions::new(old.name(), old.source());
    for (index, instruction) in (0u32..).zip(&all) {
        let several = replacement(instruction).unwrap_or_else(|| {
            vec![match instruction {
                Instruction::Jump(target) => Instruction::Jump(moved(*target)),
                Instruction::JumpIfFalse(target) => Instruction::JumpIfFalse(moved(*target)),
                Instruction::JumpIfFalseOrPop(target) => {
                    Instruction::JumpIfFalseOrPop(moved(*target))
                }
                Instruction::JumpIfTrueOrPop(target) => {
                    Instruction::JumpIfTrueOrPop(moved(*target))
                }
                Instruction::Iterate(target) => Instruction::Iterate(moved(*target)),
                Instruction::BuildMacro(name, offset, flags) => {
                    Instruction::BuildMacro(name, moved(*offset), *flags)
                }
                other => (*other).clone(),
            }]
        });
        for instruction in several {
            match (old.get_span(index), old.get_line(index)) {
                (Some(span), _) => new.add_with_span(instruction, span),
                (None, Some(line)) => {
                    new.add_with_line(instruction, line.try_into().unwrap_or(u16::MAX))
                }
                (None, None) => new.add(instruction),
            };
        }
    }
    new
}

/// What runs in the place of an instruction, if it is one of those that differ. The functions' names can't be written in a
/// template.
fn replacement<'s>(instruction: &Instruction<'s>) -> Option<Vec<Instruction<'s>>> {
    let call = |name: &'static str, count: u16| Instruction::CallFunction(name, Some(count));
    Some(match instruction {
        Instruction::Add => vec![call("+", 2)],
        Instruction::Sub => vec![call("-", 2)],
        Instruction::Mul => vec![call("*", 2)],
        Instruction::Div => vec![call("/", 2)],
        Instruction::IntDiv => vec![call("//", 2)],
        Instruction::Rem => vec![call("%", 2)],
        Instruction::Pow => vec![call("**", 2)],
        Instruction::Neg => vec![call("neg ", 1)],
        Instruction::Gt => vec![call(">", 2)],
        Instruction::Gte => vec![call(">=", 2)],
        Instruction::Lt => vec![call("<", 2)],
        Instruction::Lte => vec![call("<=", 2)],
        Instruction::StringConcat => vec![call("~", 2)],
        Instruction::In => vec![call("in ", 2)],
        Instruction::Slice => vec![call("[:]", 4)],
        Instruction::GetItem => vec![call("[]", 2)],
        Instruction::GetAttr(name) => {
            vec![Instruction::LoadConst(Value::from(*name)), call(".", 2)]
        }
        Instruction::BuildList(_) | Instruction::BuildMap(_) | Instruction::BuildTuple(_) => {
            vec![instruction.clone(), call("made ", 1)]
        }
        Instruction::PushLoop(_) => vec![call("for ", 1), instruction.clone()],
        Instruction::EmitRaw(raw) => {
            vec![Instruction::LoadConst(Value::from(*raw)), Instruction::Emit]
        }
        _ => return None,
    })
}
