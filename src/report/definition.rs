//! Which reports there are and what each is asked for.

use std::{fmt, str::FromStr};

use serde::Serialize;

use crate::{
    error::{Error, Kind, Result},
    model::report::TopSellers,
};

/// Name of a report, in the CLI and in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReportName {
    /// Distinct kitchen courses of the menu (DOMAIN §9.3).
    Categories,
    /// The best-selling items of each requested category (DOMAIN §9.6).
    TopSellers,
}

impl ReportName {
    /// Every report.
    pub const ALL: [Self; 2] = [Self::Categories, Self::TopSellers];

    /// `categories`, `top-sellers`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Categories => "categories",
            Self::TopSellers => "top-sellers",
        }
    }
}

impl fmt::Display for ReportName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ReportName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|name| name.as_str() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::as_str).join(", ");
            Error::new(Kind::Usage, format!("there is no report {text:?}")).hint(format!("the reports are {names}"))
        })
    }
}

/// A report with its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReportRequest {
    /// [`ReportName::Categories`]; asks for nothing.
    Categories,
    /// [`ReportName::TopSellers`].
    TopSellers(TopSellers),
}

impl ReportRequest {
    /// Which report it is.
    #[must_use]
    pub fn name(&self) -> ReportName {
        match self {
            Self::Categories => ReportName::Categories,
            Self::TopSellers(_) => ReportName::TopSellers,
        }
    }

    /// Refuses what makes no sense.
    ///
    /// # Errors
    /// `Usage` when the first day comes after the last.
    pub fn check(&self) -> Result<()> {
        match self {
            Self::TopSellers(TopSellers { from, to, .. }) if from > to => {
                Err(Error::new(Kind::Usage, format!("the first day {from} comes after the last day {to}"))
                    .hint("both days are inclusive; give the same day twice for one day"))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for name in ReportName::ALL {
            assert_eq!(name.to_string().parse::<ReportName>().unwrap(), name);
            assert_eq!(serde_json::to_value(name).unwrap(), name.as_str());
        }
        let error = "turnover".parse::<ReportName>().unwrap_err();
        assert_eq!(error.next_step(), Some("the reports are categories, top-sellers"));
    }
}
