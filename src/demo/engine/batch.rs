//! A T-SQL batch cut into statements.
//!
//! T-SQL needs no semicolons, and most of its `SET` options are not in the parser's grammar; so the tokens are cut at the
//! keywords that begin a statement, and only queries go through the parser.

use sqlparser::{
    ast::Query,
    dialect::MsSqlDialect,
    parser::Parser,
    tokenizer::{Token, TokenWithSpan, Tokenizer, Word},
};

use super::SqlError;

/// One statement.
#[derive(Clone, Debug)]
pub(in crate::demo) enum Statement {
    /// A query, and its text for faults that match it.
    Query(Box<Query>),
    /// `SET` with the words after it, upper case: `["TRANSACTION", "ISOLATION", "LEVEL", "SNAPSHOT"]`.
    Set(Vec<String>),
    Begin,
    Commit,
    Rollback,
    Use(String),
    /// A condition as a query that gives one row if it holds.
    If {
        condition: Box<Query>,
        then: Vec<Statement>,
        otherwise: Vec<Statement>,
    },
}

/// Cuts and parses a batch. Nothing of it runs when one statement has an error of syntax.
pub(in crate::demo) fn parse(text: &str) -> Result<Vec<Statement>, SqlError> {
    let tokens = Tokenizer::new(&MsSqlDialect {}, text)
        .tokenize_with_location()
        .map_err(|error| SqlError::new(105, 15, format!("Incorrect syntax: {}.", error.message)))?;
    let tokens = tokens.into_iter().filter(|token| !matches!(token.token, Token::Whitespace(_) | Token::EOF)).collect();
    let mut cutter = Cutter { tokens, at: 0 };
    let mut statements = Vec::new();
    while cutter.skip_semicolons() {
        cutter.statement(&mut statements)?;
    }
    Ok(statements)
}

struct Cutter {
    tokens: Vec<TokenWithSpan>,
    at: usize,
}

fn keyword(token: &Token) -> Option<String> {
    match token {
        Token::Word(Word { value, quote_style: None, .. }) => Some(value.to_ascii_uppercase()),
        _ => None,
    }
}

/// Words that begin a statement wherever they stand outside parentheses.
const STARTS: [&str; 22] = [
    "SET", "BEGIN", "COMMIT", "ROLLBACK", "SAVE", "IF", "USE", "DECLARE", "PRINT", "WAITFOR", "EXEC", "EXECUTE",
    "INSERT", "UPDATE", "DELETE", "MERGE", "TRUNCATE", "CREATE", "ALTER", "DROP", "WHILE", "KILL",
];

impl Cutter {
    fn peek(&self) -> Option<String> {
        self.tokens.get(self.at).and_then(|token| keyword(&token.token))
    }

    fn peek_is(&self, words: &[&str]) -> bool {
        self.peek().is_some_and(|word| words.contains(&word.as_str()))
    }

    /// Whether something is left.
    fn skip_semicolons(&mut self) -> bool {
        while self.tokens.get(self.at).is_some_and(|token| token.token == Token::SemiColon) {
            self.at += 1;
        }
        self.at < self.tokens.len()
    }

    fn near(&self) -> SqlError {
        let near = self.tokens.get(self.at).map(|token| token.token.to_string()).unwrap_or_default();
        SqlError::syntax(&near)
    }

    fn statement(&mut self, into: &mut Vec<Statement>) -> Result<(), SqlError> {
        let Some(word) = self.peek() else {
            return if self.tokens[self.at].token == Token::LParen {
                into.push(self.query()?);
                Ok(())
            } else {
                Err(self.near())
            };
        };
        match word.as_str() {
            "SELECT" | "WITH" => into.push(self.query()?),
            "SET" => {
                self.at += 1;
                let rest = self.rest();
                let words = rest.iter().map(|token| word_of(&token.token)).collect();
                into.push(Statement::Set(words));
            }
            "BEGIN" => {
                self.at += 1;
                if self.peek_is(&["TRAN", "TRANSACTION"]) {
                    self.rest();
                    into.push(Statement::Begin);
                } else {
                    while self.skip_semicolons() && !self.peek_is(&["END"]) {
                        self.statement(into)?;
                    }
                    if !self.peek_is(&["END"]) {
                        return Err(self.near());
                    }
                    self.at += 1;
                }
            }
            "COMMIT" | "ROLLBACK" => {
                self.at += 1;
                self.rest();
                into.push(if word == "COMMIT" { Statement::Commit } else { Statement::Rollback });
            }
            "USE" => {
                self.at += 1;
                let [TokenWithSpan { token: Token::Word(name), .. }] = self.rest() else { return Err(self.near()) };
                into.push(Statement::Use(name.value.clone()));
            }
            "IF" => {
                self.at += 1;
                let condition = self.condition()?;
                let (mut then, mut otherwise) = (Vec::new(), Vec::new());
                self.statement(&mut then)?;
                self.skip_semicolons();
                if self.peek_is(&["ELSE"]) {
                    self.at += 1;
                    self.statement(&mut otherwise)?;
                }
                into.push(Statement::If { condition: Box::new(condition), then, otherwise });
            }
            word if STARTS.contains(&word) => {
                return Err(SqlError::unsupported(format!("the statement {word}")));
            }
            _ => return Err(self.near()),
        }
        Ok(())
    }

    /// The tokens up to the next statement.
    fn rest(&mut self) -> &[TokenWithSpan] {
        let start = self.at;
        self.skip_to_next(false);
        &self.tokens[start..self.at]
    }

    /// Moves behind the present statement: to a semicolon or a word that begins a statement, outside parentheses and CASE.
    fn skip_to_next(&mut self, mut query_expected: bool) {
        let (mut depth, mut cases) = (0usize, 0usize);
        let mut before = String::new();
        while let Some(token) = self.tokens.get(self.at) {
            let word = keyword(&token.token).unwrap_or_default();
            match &token.token {
                Token::LParen => depth += 1,
                Token::RParen => depth = depth.saturating_sub(1),
                Token::SemiColon if depth == 0 => return,
                _ if depth > 0 => {}
                _ if word == "CASE" => cases += 1,
                _ if word == "END" && cases > 0 => cases -= 1,
                _ if cases > 0 => {}
                _ if word == "END" || word == "ELSE" || STARTS.contains(&word.as_str()) => return,
                _ if word == "SELECT" && !["UNION", "ALL", "EXCEPT", "INTERSECT"].contains(&before.as_str()) => {
                    if !query_expected {
                        return;
                    }
                    query_expected = false;
                }
                _ => {}
            }
            before = word;
            self.at += 1;
        }
    }

    fn query(&mut self) -> Result<Statement, SqlError> {
        let start = self.at;
        self.skip_to_next(true);
        Ok(Statement::Query(Box::new(parse_query(self.tokens[start..self.at].to_vec())?)))
    }

    fn condition(&mut self) -> Result<Query, SqlError> {
        let start = self.at;
        self.skip_to_next(false);
        let prefix = Tokenizer::new(&MsSqlDialect {}, "SELECT 1 WHERE ")
            .tokenize_with_location()
            .map_err(|_| SqlError::internal("the condition of IF"))?;
        let mut tokens: Vec<_> =
            prefix.into_iter().filter(|token| !matches!(token.token, Token::Whitespace(_) | Token::EOF)).collect();
        tokens.extend_from_slice(&self.tokens[start..self.at]);
        parse_query(tokens)
    }
}

fn word_of(token: &Token) -> String {
    match token {
        Token::Word(word) => word.value.to_ascii_uppercase(),
        other => other.to_string().to_ascii_uppercase(),
    }
}

fn parse_query(tokens: Vec<TokenWithSpan>) -> Result<Query, SqlError> {
    let mut parser = Parser::new(&MsSqlDialect {}).with_tokens_with_locations(tokens);
    let failed = |error: &sqlparser::parser::ParserError| {
        SqlError::new(
            102,
            15,
            format!("Incorrect syntax: {}.", error.to_string().trim_start_matches("sql parser error: ")),
        )
    };
    let query = parser.parse_query().map_err(|error| failed(&error))?;
    let left = parser.peek_token();
    if left.token == Token::EOF { Ok(*query) } else { Err(SqlError::syntax(&left.token.to_string())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_need_no_semicolons() {
        let batch = "SET NOCOUNT ON SELECT CASE WHEN 1=1 THEN 2 ELSE 3 END x FROM (SELECT 1 a) t \
                     UNION ALL SELECT 4; BEGIN TRAN SELECT N'SET ; x' COMMIT TRANSACTION; IF @@TRANCOUNT > 0 ROLLBACK";
        let statements = parse(batch).unwrap();
        let kinds: Vec<_> = statements
            .iter()
            .map(|statement| match statement {
                Statement::Query(_) => "query",
                Statement::Set(_) => "set",
                Statement::Begin => "begin",
                Statement::Commit => "commit",
                Statement::If { .. } => "if",
                _ => "other",
            })
            .collect();
        assert_eq!(kinds, ["set", "query", "begin", "query", "commit", "if"]);
    }

    #[test]
    fn what_cannot_be_answered_is_refused() {
        assert_eq!(parse("SELECT FROM WHERE").unwrap_err().number, 102);
        assert_eq!(parse("SELECT 1 blah blah").unwrap_err().number, 102);
        assert_eq!(parse("DELETE FROM Tickets").unwrap_err().number, 40517);
        assert_eq!(parse("nonsense").unwrap_err().number, 102);
        assert_eq!(parse("SELECT 'open").unwrap_err().number, 105);
    }
}
