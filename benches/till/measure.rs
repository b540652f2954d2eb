//! Running a program and what it took: wall, its CPU, its peak memory, and the CPU of the server beside it.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

/// What one run took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Took {
    /// Seconds.
    pub(crate) wall: f64,
    /// CPU seconds of the program.
    pub(crate) cpu: f64,
    /// Its peak memory in MB (millions of bytes).
    pub(crate) peak: f64,
    /// CPU seconds of this process meanwhile: the demo till runs in it.
    pub(crate) server: f64,
}

impl Took {
    /// Each figure's median.
    pub(crate) fn median(all: &[Took]) -> Took {
        let of = |figure: fn(&Took) -> f64| median(all.iter().map(figure).collect());
        Took { wall: of(|t| t.wall), cpu: of(|t| t.cpu), peak: of(|t| t.peak), server: of(|t| t.server) }
    }
}

/// The value in the middle; not a number of nothing.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Runs `program` with `arguments` under GNU time and returns its standard output and what it took.
///
/// # Errors
/// What it said on standard error, when it failed.
pub(crate) fn run(program: &Path, arguments: &[String], folder: &Path) -> Result<(String, Took), String> {
    let figures = folder.join("figures");
    let before = own_cpu();
    let started = Instant::now();
    let output = Command::new("/usr/bin/time")
        .args(["-q", "-f", "%U %S %M", "-o"])
        .arg(&figures)
        .arg(program)
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{}: {error}", program.display()))?;
    let wall = started.elapsed().as_secs_f64();
    let server = own_cpu() - before;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
    }
    let figures = fs::read_to_string(&figures).map_err(|error| error.to_string())?;
    let mut numbers = figures.split_whitespace().map(|figure| figure.parse::<f64>().unwrap_or(f64::NAN));
    let mut next = || numbers.next().unwrap_or(f64::NAN);
    let cpu = next() + next();
    let peak = next() * 1_024.0 / 1e6;
    Ok((String::from_utf8_lossy(&output.stdout).into_owned(), Took { wall, cpu, peak, server }))
}

/// CPU seconds of this process so far: user and system, in hundredths (`/proc/self/stat`, fields 14 and 15).
pub(crate) fn own_cpu() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = |index: usize| after_name.split_whitespace().nth(index).and_then(|field| field.parse::<f64>().ok());
    (ticks(11).unwrap_or(f64::NAN) + ticks(12).unwrap_or(f64::NAN)) / 100.0
}
