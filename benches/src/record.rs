//! Results of `cargo bench` to keep and to compare.
//!
//! Flows in: criterion's files below `target/criterion`. Flows out: a [`Record`], one JSON file with the machine, the
//! commit and the median time of every benchmark; and what moved between two of them ([`compare`]).

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// What was measured, where and of what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The processor.
    pub machine: String,
    /// Its cores.
    pub cores: String,
    /// The instruction sets it has, the plainest first.
    pub instruction_sets: Vec<String>,
    /// The commit that was built; "-dirty" if more than that was.
    pub commit: String,
    /// Anything worth knowing: other settings, other load.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// By name, `gemv/q4_k/avx2`.
    pub results: BTreeMap<String, Measurement>,
}

/// One benchmark: times in nanoseconds, and what was done in them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// The median.
    pub median_ns: f64,
    /// The lower end of its confidence interval.
    pub low_ns: f64,
    /// The upper end.
    pub high_ns: f64,
    /// Multiply-adds, or whatever the group counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elements: Option<u64>,
    /// Bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

/// The part of criterion's `estimates.json` that is used.
#[derive(Deserialize)]
struct Estimates {
    median: Estimate,
}

#[derive(Deserialize)]
struct Estimate {
    point_estimate: f64,
    confidence_interval: Interval,
}

#[derive(Deserialize)]
struct Interval {
    lower_bound: f64,
    upper_bound: f64,
}

/// The part of criterion's `benchmark.json` that is used.
#[derive(Deserialize)]
struct Benchmark {
    full_id: String,
    throughput: Option<Throughput>,
}

/// As criterion spells it.
#[derive(Deserialize)]
enum Throughput {
    Bits(u64),
    Bytes(u64),
    BytesDecimal(u64),
    Elements(u64),
    ElementsAndBytes { elements: u64, bytes: u64 },
}

/// Every newest result in a folder that criterion wrote (`target/criterion`), in order of names.
///
/// # Errors
/// A sentence that names the file which can't be read or understood.
pub fn read_criterion(folder: &Path) -> Result<BTreeMap<String, Measurement>, String> {
    let mut results = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let cannot = |error| format!("cannot read {}: {error}", folder.display());
        for entry in fs::read_dir(&folder).map_err(cannot)? {
            let path = entry.map_err(cannot)?.path();
            if !path.is_dir() {
                continue;
            }
            // `new` holds the last run, `base` the one before, `report` pictures.
            let (benchmark, estimates) = (path.join("benchmark.json"), path.join("estimates.json"));
            if path.ends_with("new") && benchmark.is_file() && estimates.is_file() {
                let (name, measurement) = measurement(&benchmark, &estimates)?;
                results.insert(name, measurement);
            } else {
                folders.push(path);
            }
        }
    }
    Ok(results)
}

fn measurement(benchmark: &Path, estimates: &Path) -> Result<(String, Measurement), String> {
    let benchmark: Benchmark = read_json(benchmark)?;
    let median = read_json::<Estimates>(estimates)?.median;
    let (elements, bytes) = match benchmark.throughput {
        None => (None, None),
        Some(Throughput::Bits(bits)) => (None, Some(bits / 8)),
        Some(Throughput::Bytes(bytes) | Throughput::BytesDecimal(bytes)) => (None, Some(bytes)),
        Some(Throughput::Elements(elements)) => (Some(elements), None),
        Some(Throughput::ElementsAndBytes { elements, bytes }) => (Some(elements), Some(bytes)),
    };
    let tenths = |ns: f64| (10.0 * ns).round() / 10.0;
    let measurement = Measurement {
        median_ns: tenths(median.point_estimate),
        low_ns: tenths(median.confidence_interval.lower_bound),
        high_ns: tenths(median.confidence_interval.upper_bound),
        elements,
        bytes,
    };
    Ok((benchmark.full_id, measurement))
}

/// Reads a JSON file.
///
/// # Errors
/// A sentence that names the file and what is wrong with it.
pub fn read_json<T: for<'de> Deserialize<'de>>(file: &Path) -> Result<T, String> {
    let text = fs::read_to_string(file)
        .map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    serde_json::from_str(&text)
        .map_err(|error| format!("{} is not what it should be: {error}", file.display()))
}

/// The difference between two measurements of one benchmark.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The benchmark.
    pub name: String,
    /// Old time divided by new time: above 1 is faster.
    pub speedup: f64,
    /// Before.
    pub old: Measurement,
    /// After.
    pub new: Measurement,
}

/// What a comparison finds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Comparison {
    /// What moved by more than the threshold and beyond both confidence intervals, the largest change first.
    pub moved: Vec<Change>,
    /// How many stayed.
    pub stayed: usize,
    /// The geometric mean of all speed-ups; 1 if nothing is in both records.
    pub mean_speedup: f64,
    /// Names under which the two measured different amounts of work: no comparison.
    pub other_work: Vec<String>,
    /// Names that only the old record has.
    pub gone: Vec<String>,
    /// Names that only the new record has.
    pub added: Vec<String>,
}

/// Compares two records. `threshold`: the least change of time that counts, as a share (0.05 is 5 %).
pub fn compare(old: &Record, new: &Record, threshold: f64) -> Comparison {
    let mut found = Comparison {
        mean_speedup: 1.0,
        ..Comparison::default()
    };
    let (mut logarithms, mut count) = (0.0, 0usize);
    for (name, &before) in &old.results {
        let Some(&after) = new.results.get(name) else {
            found.gone.push(name.clone());
            continue;
        };
        if (before.elements, before.bytes) != (after.elements, after.bytes) {
            found.other_work.push(name.clone());
            continue;
        }
        let speedup = before.median_ns / after.median_ns;
        if !(speedup.is_finite() && speedup > 0.0) {
            continue;
        }
        logarithms += speedup.ln();
        count += 1;
        let apart = before.low_ns > after.high_ns || after.low_ns > before.high_ns;
        if apart && speedup.ln().abs() > (1.0 + threshold).ln() {
            found.moved.push(Change {
                name: name.clone(),
                speedup,
                old: before,
                new: after,
            });
        } else {
            found.stayed += 1;
        }
    }
    // Twice as fast and half as fast are changes of one size.
    found
        .moved
        .sort_by(|a, b| b.speedup.ln().abs().total_cmp(&a.speedup.ln().abs()));
    let only_new = new.results.keys().filter(|n| !old.results.contains_key(*n));
    found.added = only_new.cloned().collect();
    if count > 0 {
        found.mean_speedup = (logarithms / count as f64).exp();
    }
    found
}

impl Measurement {
    /// Rates in words: `31.2 GB/s, 55.4 G/s`.
    pub fn rates(&self) -> String {
        let giga = |count: u64| count as f64 / self.median_ns;
        let bytes = self.bytes.map(|bytes| format!("{:.2} GB/s", giga(bytes)));
        let elements = self.elements.map(|e| format!("{:.2} G/s", giga(e)));
        let rates: Vec<String> = [bytes, elements].into_iter().flatten().collect();
        if rates.is_empty() {
            format!("{:.0} ns", self.median_ns)
        } else {
            rates.join(", ")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(results: &[(&str, f64, f64)]) -> Record {
        let results = results.iter().map(|&(name, median_ns, spread)| {
            let measurement = Measurement {
                median_ns,
                low_ns: median_ns - spread,
                high_ns: median_ns + spread,
                elements: Some(1000),
                bytes: None,
            };
            (name.to_owned(), measurement)
        });
        Record {
            machine: "a machine".to_owned(),
            cores: "2".to_owned(),
            instruction_sets: vec!["scalar".to_owned()],
            commit: "0".to_owned(),
            note: String::new(),
            results: results.collect(),
        }
    }

    #[test]
    fn the_largest_change_comes_first_whatever_its_direction() {
        let old = record(&[
            ("slower", 100.0, 1.0),
            ("same", 100.0, 1.0),
            ("faster", 100.0, 1.0),
            ("little", 100.0, 1.0),
            ("gone", 1.0, 0.0),
        ]);
        let new = record(&[
            ("slower", 125.0, 1.0),
            ("same", 100.0, 1.0),
            ("faster", 50.0, 1.0),
            ("little", 103.0, 1.0),
            ("added", 1.0, 0.0),
        ]);
        let found = compare(&old, &new, 0.05);
        let moved: Vec<_> = found
            .moved
            .iter()
            .map(|change| (change.name.as_str(), change.speedup))
            .collect();
        assert_eq!(moved, [("faster", 2.0), ("slower", 0.8)]);
        assert_eq!(found.stayed, 2);
        assert_eq!(
            (&found.gone[..], &found.added[..]),
            (&["gone".to_owned()][..], &["added".to_owned()][..])
        );
        let mean = (2.0 * 0.8 * 100.0 / 103.0f64).powf(0.25);
        assert!((found.mean_speedup - mean).abs() < 1e-12);
        // The threshold counts.
        assert_eq!(compare(&old, &new, 0.02).moved.len(), 3);
        assert_eq!(compare(&old, &new, 0.5).moved.len(), 1);
    }

    #[test]
    fn what_noise_explains_has_not_moved() {
        let old = record(&[("a", 100.0, 30.0)]);
        let new = record(&[("a", 125.0, 30.0)]);
        assert!(compare(&old, &new, 0.05).moved.is_empty());
    }

    #[test]
    fn other_amounts_of_work_are_not_compared() {
        let (old, mut new) = (record(&[("a", 100.0, 1.0)]), record(&[("a", 200.0, 1.0)]));
        for measurement in new.results.values_mut() {
            measurement.elements = Some(2000);
        }
        let found = compare(&old, &new, 0.05);
        assert_eq!((found.moved.len(), found.stayed), (0, 0));
        assert_eq!(found.other_work, ["a"]);
    }

    #[test]
    fn nothing_in_common_is_no_change() {
        let found = compare(
            &record(&[("a", 1.0, 0.0)]),
            &record(&[("b", 1.0, 0.0)]),
            0.05,
        );
        assert_eq!((found.moved.len(), found.stayed), (0, 0));
        assert_eq!(found.mean_speedup, 1.0);
    }

    #[test]
    fn criterions_files_are_read() {
        let folder = std::env::temp_dir().join(format!("gristmill-record-{}", std::process::id()));
        let new = folder.join("gemv").join("q4_k_avx2").join("new");
        fs::create_dir_all(&new).unwrap();
        fs::create_dir_all(folder.join("gemv").join("report")).unwrap();
        fs::write(
            new.join("benchmark.json"),
            r#"{"group_id":"gemv","function_id":"q4_k/avx2","value_str":null,
                "throughput":{"ElementsAndBytes":{"elements":3000,"bytes":2000}},
                "full_id":"gemv/q4_k/avx2","directory_name":"gemv/q4_k_avx2","title":"gemv/q4_k/avx2"}"#,
        )
        .unwrap();
        let estimate = r#"{"confidence_interval":{"confidence_level":0.95,"lower_bound":90.0,"upper_bound":120.0},
            "point_estimate":100.0,"standard_error":1.0}"#;
        fs::write(
            new.join("estimates.json"),
            format!(r#"{{"mean":{estimate},"median":{estimate},"slope":null}}"#),
        )
        .unwrap();
        let results = read_criterion(&folder);
        fs::remove_dir_all(&folder).unwrap();
        let results = results.unwrap();
        assert_eq!(results.len(), 1);
        let measured = results["gemv/q4_k/avx2"];
        assert_eq!(
            (measured.median_ns, measured.low_ns, measured.high_ns),
            (100.0, 90.0, 120.0)
        );
        assert_eq!(measured.rates(), "20.00 GB/s, 30.00 G/s");
        assert!(read_criterion(&folder).unwrap_err().contains("cannot read"));
    }

    #[test]
    fn the_records_that_are_kept_can_be_read() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("record");
        let mut read = 0;
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path
                .extension()
                .is_some_and(|extension| extension == "json")
            {
                let record: Record = read_json(&path).unwrap();
                assert!(!record.results.is_empty() && !record.commit.is_empty());
                assert_eq!(compare(&record, &record, 0.0).moved, []);
                read += 1;
            }
        }
        println!("{read} records");
        assert!(read > 0);
    }
}
