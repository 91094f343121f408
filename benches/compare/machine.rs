//! The machine, in one line.

/// Its processor, how many of them, and its system.
pub(crate) fn describe() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let value_of = |text: &str, key: &str| {
        let line = text.lines().find(|line| line.starts_with(key));
        line.and_then(|line| line.split([':', '=']).nth(1)).map(|value| value.trim().trim_matches('"').to_owned())
    };
    let processor = value_of(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| std::env::consts::ARCH.into());
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    let system = value_of(&read("/etc/os-release"), "PRETTY_NAME").unwrap_or_else(|| std::env::consts::OS.into());
    let kernel = read("/proc/sys/kernel/osrelease");
    format!("{processor}, {count} CPUs, {system}, kernel {}", kernel.trim())
}
