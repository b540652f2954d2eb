fn main() { let _ = tillvault::store::is_on_this_machine; }
