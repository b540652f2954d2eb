//! Procedure calls: `sp_executesql`, prepared statements.

use super::{
    super::{
        rpc::{Call, Procedure},
        token::{self, Done},
    },
    Response, Session, Stop,
};
use crate::demo::engine::{self, Parameter, SqlError, Value};

impl Session {
    pub(super) fn call_all(&mut self, calls: &[Call], response: &mut Response<'_>) -> Result<(), Stop> {
        for (index, call) in calls.iter().enumerate() {
            self.call(call, response)?;
            response.flush_done(true);
            token::return_status(&mut response.out.body, 0);
            let status = if index + 1 < calls.len() { token::DONE_MORE } else { 0 };
            token::done(&mut response.out.body, Done::Procedure, status, 0, 0);
        }
        Ok(())
    }

    fn call(&mut self, call: &Call, response: &mut Response<'_>) -> Result<(), Stop> {
        let text = |index: usize| match call.arguments.get(index).map(|argument| &argument.value) {
            Some(Value::Text(text)) => Ok(text.clone()),
            Some(Value::Null) => Ok(String::new()),
            _ => Err(SqlError::new(214, 16, "Procedure expects a parameter of type 'ntext/nchar/nvarchar'.")),
        };
        let handle = || match call.arguments.first().map(|argument| &argument.value) {
            Some(Value::Integer(handle)) => Ok(i32::try_from(*handle).unwrap_or_default()),
            _ => Err(SqlError::new(8179, 16, "Could not find prepared statement.")),
        };
        let named = |names: &[String], values: &[Parameter]| -> Vec<Parameter> {
            let mut values = values.to_vec();
            for (value, name) in values.iter_mut().zip(names) {
                if value.name.is_empty() {
                    value.name.clone_from(name);
                }
            }
            values
        };
        match &call.procedure {
            Procedure::ExecuteSql => {
                let names = if call.arguments.len() > 1 { declared_names(&text(1)?) } else { Vec::new() };
                let values = named(&names, call.arguments.get(2..).unwrap_or_default());
                self.run(&text(0)?, &values, response)
            }
            Procedure::Prepare | Procedure::PrepareAndExecute => {
                let names = declared_names(&text(1)?);
                let statement = text(2)?;
                engine::batch::parse(&statement)?;
                let handle = self.next_handle;
                self.next_handle += 1;
                let out_name = call.arguments.first().map(|argument| argument.name.clone()).unwrap_or_default();
                self.prepared.insert(handle, (statement.clone(), names.clone()));
                if call.procedure == Procedure::PrepareAndExecute {
                    let values = named(&names, call.arguments.get(3..).unwrap_or_default());
                    self.run(&statement, &values, response)?;
                }
                response.flush_done(true);
                token::return_int(&mut response.out.body, &out_name, handle);
                Ok(())
            }
            Procedure::Execute => {
                let Some((statement, names)) = self.prepared.get(&handle()?).cloned() else {
                    return Err(SqlError::new(8179, 16, "Could not find prepared statement.").into());
                };
                let values = named(&names, call.arguments.get(1..).unwrap_or_default());
                self.run(&statement, &values, response)
            }
            Procedure::Unprepare => {
                self.prepared.remove(&handle()?);
                Ok(())
            }
            Procedure::ResetConnection => {
                self.reset(response.out);
                Ok(())
            }
            Procedure::Other(name) => {
                Err(SqlError::new(2812, 16, format!("Could not find stored procedure '{name}'.")).into())
            }
        }
    }
}

/// Names of `@P1 int, @P2 decimal(16,2)`, in order.
fn declared_names(declaration: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut depth = 0;
    let mut fresh = true;
    for (at, character) in declaration.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => fresh = true,
            '@' if fresh => {
                let name = declaration[at..].split(|c: char| c.is_whitespace()).next().unwrap_or_default();
                names.push(name.to_owned());
                fresh = false;
            }
            _ => {}
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_parameters_are_read_from_their_declaration() {
        assert_eq!(declared_names("@P1 int,@P2 decimal(16,2), @x nvarchar(max)"), ["@P1", "@P2", "@x"]);
        assert!(declared_names("").is_empty());
    }
}
