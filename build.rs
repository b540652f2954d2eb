//! Tells the linker where the shared DuckDB library lies (scripts/setup.sh puts it there).

fn main() {
    println!("cargo:rerun-if-env-changed=DUCKDB_LIB_DIR");
    if std::env::var_os("CARGO_FEATURE_BUNDLED").is_none() {
        if let Some(folder) = std::env::var_os("DUCKDB_LIB_DIR") {
            println!("cargo:rustc-link-arg=-Wl,-rpath,{}", folder.display());
        }
        // A packaged binary finds the library beside itself.
        println!("cargo:rustc-link-arg=-Wl,-rpath,$ORIGIN:$ORIGIN/../lib/tillvault");
    }
}
