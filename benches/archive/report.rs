//! The tables that are printed, in Markdown, and the goals beside them (DESIGN §9).

use crate::{keeper::Cost, peers::Program, site::Kept};

/// The goals of a sync.
const MOST_SYNC_BYTES: f64 = 100_000.0;
const MOST_SYNC_OBJECTS: f64 = 10.0;

/// The value in the middle; `None` of nothing.
pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

fn median_of(costs: &[Cost], of: impl Fn(&Cost) -> u64) -> Option<f64> {
    median(costs.iter().map(|cost| of(cost) as f64).collect())
}

fn kilobytes(bytes: Option<f64>) -> String {
    bytes.map_or("–".into(), |bytes| {
        let whole = format!("{:.0}", bytes / 1e3);
        if bytes < 999_500.0 { whole } else { format!("{},{}", &whole[..whole.len() - 3], &whole[whole.len() - 3..]) }
    })
}

fn number(value: Option<f64>) -> String {
    value.map_or("–".into(), |value| format!("{value:.0}"))
}

/// A line per way of keeping.
pub(crate) fn site(all: &[Kept]) {
    println!(
        "| kept as | kB/night | objects/night | kB/sync (chunks + snapshot) | objects/sync | MB first | MB nights | MB with syncs | files | query ms |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for kept in all {
        let sync = match median_of(&kept.syncs, |cost| cost.all_bytes()) {
            None => "–".into(),
            Some(bytes) => format!(
                "{} ({} + {})",
                kilobytes(Some(bytes)),
                kilobytes(median_of(&kept.syncs, |cost| cost.bytes)),
                kilobytes(median_of(&kept.syncs, |cost| cost.snapshot)),
            ),
        };
        let first = kept.first.map_or(0, Cost::all_bytes);
        println!(
            "| {} | {} | {} | {sync} | {} | {:.1} | {:.1} | {} | {} | {} |",
            kept.name,
            kilobytes(median_of(&kept.nights, |cost| cost.all_bytes())),
            number(median_of(&kept.nights, |cost| cost.all_objects())),
            number(median_of(&kept.syncs, |cost| cost.all_objects())),
            first as f64 / 1e6,
            (kept.bytes_without_syncs() - first) as f64 / 1e6,
            if kept.syncs.is_empty() { "–".into() } else { format!("{:.1}", kept.bytes() as f64 / 1e6) },
            number(kept.files.map(|files| files as f64)),
            number(kept.query),
        );
    }
}

/// The first ladder against restic, all its repositories taken together, and its syncs against their bounds.
pub(crate) fn site_goals(all: &[Kept], of_restic: Option<f64>) {
    let Some(ours) = all.first() else { return };
    println!("\nGoals, for {}:", ours.name);
    let restic: Vec<&Kept> = all.iter().filter(|kept| kept.name.starts_with(Program::Restic.name())).collect();
    let nights: Vec<Cost> = restic.iter().flat_map(|kept| kept.nights.clone()).collect();
    match (median_of(&ours.nights, |cost| cost.all_bytes()), median_of(&nights, |cost| cost.all_bytes())) {
        (Some(ours), Some(restic)) => verdict("bytes a night / restic", ours / restic, of_restic),
        _ => println!("- bytes a night / restic: not measured, restic is not installed"),
    }
    if let Some(restic) = restic.first().filter(|kept| !kept.syncs.is_empty()) {
        verdict("bytes kept with syncs / restic", ours.bytes() as f64 / restic.bytes() as f64, of_restic);
    }
    let syncs = &ours.syncs;
    if let Some(bytes) = median_of(syncs, |cost| cost.all_bytes()) {
        verdict("kB a sync, median", bytes / 1e3, Some(MOST_SYNC_BYTES / 1e3));
        let objects = median_of(syncs, |cost| cost.all_objects()).unwrap_or(f64::NAN);
        verdict("objects a sync, median", objects, Some(MOST_SYNC_OBJECTS));
        let large = syncs.iter().filter(|cost| cost.all_bytes() as f64 > MOST_SYNC_BYTES).count();
        let many = syncs.iter().filter(|cost| cost.all_objects() as f64 > MOST_SYNC_OBJECTS).count();
        println!("- of {} syncs, {large} were larger and {many} had more objects", syncs.len());
    }
}

/// A figure, its goal, and whether it is met.
pub(crate) fn verdict(what: &str, figure: f64, goal: Option<f64>) {
    let shown = if figure < 10.0 { format!("{figure:.2}") } else { format!("{figure:.0}") };
    match goal {
        Some(goal) if figure <= goal => println!("- {what}: {shown} (goal ≤ {goal}: met)"),
        Some(goal) => println!("- {what}: {shown} (goal ≤ {goal}: MISSED)"),
        None => println!("- {what}: {shown}"),
    }
}
