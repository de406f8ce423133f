//! A mapped file that is cut short raises SIGBUS at the next read past its new end. This handler turns that into one line
//! that names the file and says what helps, and exit code 1, instead of a bare "Bus error".
//!
//! It only compares addresses, writes and exits, which is all that a signal handler may do. A fault outside of our files
//! goes to whatever handler there was before.
#![allow(unsafe_code)]

use gristmill_gguf::file_mapped_at;
use std::ptr::null_mut;
use std::sync::OnceLock;

const BEGINNING: &[u8] = b"gristmill: ";
const END: &[u8] = b": the file was cut short or could not be read while in use; \
    start again, or use --no-mmap to read it into memory first\n";

/// The handler that was there before.
static PREVIOUS: OnceLock<Option<libc::sigaction>> = OnceLock::new();

/// Installs the handler.
pub fn watch() {
    PREVIOUS.get_or_init(|| {
        // SAFETY: all-zero is a valid sigaction (plain integers and an optional function pointer), and both pointers are
        // to live locals. The handler only does what is allowed in one.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            let mut previous: libc::sigaction = std::mem::zeroed();
            let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) =
                on_bus_error;
            action.sa_sigaction = handler as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            libc::sigemptyset(&mut action.sa_mask);
            (libc::sigaction(libc::SIGBUS, &action, &mut previous) == 0).then_some(previous)
        }
    });
}

extern "C" fn on_bus_error(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    _context: *mut libc::c_void,
) {
    // SAFETY: the kernel passes a valid siginfo to a handler installed with SA_SIGINFO.
    let address = unsafe { (*info).si_addr() }.addr();
    let mut line = [0u8; 1024];
    let (name, most) = (BEGINNING.len(), line.len() - END.len());
    if let Some(bytes) = file_mapped_at(address, &mut line[name..most]) {
        line[..name].copy_from_slice(BEGINNING);
        line[name + bytes..][..END.len()].copy_from_slice(END);
        let length = name + bytes + END.len();
        // SAFETY: the line is that long. `write` and `_exit` may be called in a signal handler.
        unsafe {
            libc::write(libc::STDERR_FILENO, line.as_ptr().cast(), length);
            libc::_exit(1);
        }
    }
    // Not one of ours: put the handler back that was there, and let the instruction fault again.
    // SAFETY: as in `watch`; an all-zero action is the default one, and `info` is as valid as above.
    unsafe {
        let previous = match PREVIOUS.get() {
            Some(Some(previous)) => *previous,
            _ => std::mem::zeroed(),
        };
        libc::sigaction(signal, &previous, null_mut());
        // Sent by a process and not by a fault, it would not come again by itself.
        if (*info).si_code <= 0 {
            libc::raise(signal);
        }
    }
}

#[cfg(test)]
mod tests {
    //! Each case runs in a child process: this same test program, asked for one test that does the damage.

    use gristmill_gguf::{Access, Gguf, TensorType, Writer};
    use std::fs::OpenOptions;
    use std::os::unix::process::ExitStatusExt;
    use std::path::Path;
    use std::process::{Command, Output};

    const CHILD: &str = "GRISTMILL_FAULT_TEST_FILE";
    const BYTES: u64 = 1 << 20;

    fn run_child(test: &str) -> Output {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.gguf");
        write_model(&path);
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &format!("fault::tests::{test}"), "--nocapture"])
            .env(CHILD, path)
            .output()
            .unwrap()
    }

    fn write_model(path: &Path) {
        let mut writer = Writer::new();
        writer.tensor("t", TensorType::I8, &[BYTES]).unwrap();
        let mut file = writer.create(path).unwrap();
        file.write(&vec![1; BYTES as usize]).unwrap();
        file.finish().unwrap();
    }

    fn sum(gguf: &Gguf) -> u64 {
        let data = gguf.data(gguf.tensor("t").unwrap());
        data.iter().map(|&b| u64::from(b)).sum()
    }

    /// Not a test by itself: the child's side.
    #[test]
    fn child_cuts_the_file() {
        let Some(path) = std::env::var_os(CHILD) else {
            return;
        };
        super::watch();
        let gguf = Gguf::open(&path, Access::Map).unwrap();
        let unmapped = Gguf::open(&path, Access::Read).unwrap();
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(5000).unwrap();
        assert_eq!(sum(&unmapped), BYTES);
        println!("read from memory: fine");
        println!("read from the map: {}", sum(&gguf));
    }

    /// Not a test by itself: the child's side.
    #[test]
    fn child_is_sent_the_signal() {
        let Some(path) = std::env::var_os(CHILD) else {
            return;
        };
        super::watch();
        let gguf = Gguf::open(path, Access::Map).unwrap();
        let id = std::process::id().to_string();
        // Twice: the standard library's handler, which was there before, lets the first one pass.
        for _ in 0..2 {
            Command::new("kill")
                .args(["-s", "BUS", &id])
                .status()
                .unwrap();
        }
        std::thread::sleep(std::time::Duration::from_secs(5));
        println!("survived: {}", sum(&gguf));
    }

    #[test]
    fn a_file_cut_short_ends_in_a_sentence() {
        let output = run_child("child_cuts_the_file");
        let (out, err) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        assert_eq!(output.status.code(), Some(1), "{out} {err}");
        assert!(out.contains("read from memory: fine"), "{out}");
        assert!(!out.contains("read from the map"), "{out}");
        let is_ours = |line: &&str| line.starts_with("gristmill: ");
        let line = err.lines().find(is_ours).expect(&err);
        assert!(line.contains("model.gguf: the file was cut"), "{line}");
        assert!(line.ends_with("--no-mmap to read it into memory first"));
    }

    #[test]
    fn a_signal_from_elsewhere_is_not_swallowed() {
        let output = run_child("child_is_sent_the_signal");
        assert!(output.status.signal().is_some(), "{output:?}");
    }
}
