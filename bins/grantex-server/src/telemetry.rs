//! The log: lines of one JSON shape, written by a thread of their own, never blocking a request; what it could not take is
//! counted.

use std::io::{self, Write};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, AtomicU64, Ordering};

use grantex_core::clock::{Clock, Timestamp};
use grantex_metrics::{LogLevel, Metrics};
use slog::{BorrowedKV, Drain, FnValue, Level, Logger, Never, OwnedKVList, PushFnValue, Record, RecordStatic, o};
use slog_async::{AsyncCore, AsyncError, AsyncGuard};

use crate::config::{LogFormat, Logs};

/// Lines that may wait for the writer; at 16,000 requests a second it may lag half a second before a line is dropped.
const QUEUE: usize = 8_192;
/// Bytes that are gathered before they are written, while more lines wait.
const BUFFER: usize = 64 * 1024;

/// Ends the writer when it is dropped: every line that was taken is written first.
pub struct Telemetry {
    /// The root logger.
    pub logger: Logger,
    _writer: AsyncGuard,
}

/// Starts the log on standard output.
pub fn start(settings: Logs, metrics: Option<Metrics>, clock: Arc<dyn Clock>) -> Telemetry {
    start_on(settings, metrics, clock, io::stdout())
}

fn start_on(
    settings: Logs,
    metrics: Option<Metrics>,
    clock: Arc<dyn Clock>,
    out: impl Write + Send + 'static,
) -> Telemetry {
    let waiting = Arc::new(AtomicIsize::new(0));
    let out = Batched {
        out,
        buffer: Vec::with_capacity(BUFFER),
        waiting: Arc::clone(&waiting),
    };
    let builder = match settings.format {
        LogFormat::Json => spawn(json(out)),
        LogFormat::Terminal => spawn(terminal(out)),
    };
    let (queue, writer) = builder;
    let front = Front {
        queue,
        level: settings.level,
        metrics,
        clock,
        waiting,
        dropped: AtomicU64::new(0),
    };
    Telemetry {
        logger: Logger::root(front, o!()),
        _writer: writer,
    }
}

fn spawn(drain: impl Drain<Ok = (), Err = Never> + Send + 'static) -> (AsyncCore, AsyncGuard) {
    AsyncCore::custom(drain)
        .chan_size(QUEUE)
        .thread_name("log".to_owned())
        .build_with_guard()
}

/// `level`, `msg` and `timestamp` first, then the fields.
fn json(out: impl Write + Send + 'static) -> impl Drain<Ok = (), Err = Never> + Send + 'static {
    slog_json::Json::new(out)
        .add_key_value(o!("level" => FnValue(|record: &Record<'_>| log_level(record.level()).as_str())))
        .add_key_value(o!("msg" => PushFnValue(|record: &Record<'_>, serializer| serializer.emit(record.msg()))))
        .add_key_value(o!("timestamp" => FnValue(|record: &Record<'_>| logged_at(record).to_string())))
        .set_flush(true)
        .build()
        // Nobody can be told that standard output is gone.
        .ignore_res()
}

fn terminal(out: impl Write + Send + 'static) -> impl Drain<Ok = (), Err = Never> + Send + 'static {
    slog_term::FullFormat::new(slog_term::PlainDecorator::new(out))
        .use_custom_header_print(|_, decorator, record, _| {
            decorator.start_timestamp()?;
            write!(decorator, "{}", logged_at(record))?;
            decorator.start_whitespace()?;
            write!(decorator, " ")?;
            decorator.start_level()?;
            write!(decorator, "{:<5}", log_level(record.level()).as_str())?;
            decorator.start_whitespace()?;
            write!(decorator, " ")?;
            decorator.start_msg()?;
            write!(decorator, "{}", record.msg())?;
            Ok(true)
        })
        .use_original_order()
        .build()
        .ignore_res()
}

/// The time at which the line was logged, not that of its writing: it travels in the record's tag, which nothing else uses.
fn logged_at(record: &Record<'_>) -> Timestamp {
    Timestamp::from_millis(record.tag().parse().unwrap_or_default())
}

const fn log_level(level: Level) -> LogLevel {
    match level {
        Level::Critical | Level::Error => LogLevel::Error,
        Level::Warning => LogLevel::Warn,
        Level::Info => LogLevel::Info,
        Level::Debug => LogLevel::Debug,
        Level::Trace => LogLevel::Trace,
    }
}

/// What loggers see: stamps, counts and queues; never waits.
struct Front {
    queue: AsyncCore,
    level: Level,
    metrics: Option<Metrics>,
    clock: Arc<dyn Clock>,
    waiting: Arc<AtomicIsize>,
    dropped: AtomicU64,
}

// slog asks for these; a panic in the middle of a line leaves nothing half done that anybody would see: counters and a queue.
impl UnwindSafe for Front {}
impl RefUnwindSafe for Front {}

impl Front {
    fn send(&self, record: &Record<'_>, values: &OwnedKVList) -> bool {
        if let Some(metrics) = &self.metrics {
            metrics.log_line(log_level(record.level()));
        }
        let stamp = self.clock.now().as_millis().to_string();
        let stamped = RecordStatic {
            location: record.location(),
            level: record.level(),
            tag: &stamp,
        };
        let fields = record.kv();
        match self
            .queue
            .log(&Record::new(&stamped, record.msg(), BorrowedKV(&fields)), values)
        {
            Ok(()) => {
                self.waiting.fetch_add(1, Ordering::AcqRel);
                true
            }
            Err(AsyncError::Full | AsyncError::Fatal(_)) => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
                if let Some(metrics) = &self.metrics {
                    metrics.log_line_dropped();
                }
                false
            }
        }
    }
}

impl Drain for Front {
    type Ok = ();
    type Err = Never;

    fn is_enabled(&self, level: Level) -> bool {
        level.is_at_least(self.level)
    }

    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), Never> {
        if !self.is_enabled(record.level()) {
            return Ok(());
        }
        let was_taken = self.send(record, values);
        // The log itself tells of a gap, as soon as there is room again.
        if was_taken && self.dropped.load(Ordering::Relaxed) > 0 {
            let count = self.dropped.swap(0, Ordering::Relaxed);
            self.send(
                &slog::record!(
                    Level::Warning,
                    "",
                    &format_args!("log.dropped"),
                    slog::b!("count" => count)
                ),
                &o!().into(),
            );
        }
        Ok(())
    }
}

/// Gathers lines while more are waiting, so that a busy server makes few system calls and an idle one writes at once.
struct Batched<W: Write> {
    out: W,
    buffer: Vec<u8>,
    waiting: Arc<AtomicIsize>,
}

impl<W: Write> Batched<W> {
    fn write_out(&mut self) -> io::Result<()> {
        let written = self.out.write_all(&self.buffer).and_then(|()| self.out.flush());
        self.buffer.clear();
        written
    }
}

impl<W: Write> Write for Batched<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    /// Called once a line. The count is raised after a line is queued, so it can be too low and never too high: an empty
    /// queue is always seen as empty.
    fn flush(&mut self) -> io::Result<()> {
        let is_last = self.waiting.fetch_sub(1, Ordering::AcqRel) <= 1;
        if is_last || self.buffer.len() >= BUFFER {
            self.write_out()
        } else {
            Ok(())
        }
    }
}

impl<W: Write> Drop for Batched<W> {
    fn drop(&mut self) {
        // Nobody is left to be told of a failure.
        let _ = self.write_out();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    struct Fixed;
    impl Clock for Fixed {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(1_772_366_400_000)
        }
        fn monotonic(&self) -> Duration {
            Duration::ZERO
        }
    }

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);
    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Shared {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    fn logs(format: LogFormat) -> Logs {
        Logs {
            format,
            level: Level::Info,
        }
    }

    #[test]
    fn lines_have_the_documented_shape_and_order() {
        let out = Shared::default();
        let metrics = Metrics::new("0", &[]).unwrap();
        let telemetry = start_on(
            logs(LogFormat::Json),
            Some(metrics.clone()),
            Arc::new(Fixed),
            out.clone(),
        );
        let request = telemetry.logger.new(o!("requestId" => "r-1"));
        slog::info!(request, "grant.created"; "grantId" => "grnt_1");
        slog::debug!(request, "not written");
        slog::error!(telemetry.logger, "failed");
        drop(telemetry);
        drop(request);
        assert_eq!(
            out.text(),
            "{\"level\":\"info\",\"msg\":\"grant.created\",\"timestamp\":\"2026-03-01T12:00:00.000Z\",\"requestId\":\"r-1\",\"grantId\":\"grnt_1\"}\n\
             {\"level\":\"error\",\"msg\":\"failed\",\"timestamp\":\"2026-03-01T12:00:00.000Z\"}\n"
        );
        let rendered = metrics.render();
        for series in ["{level=\"info\"} 1", "{level=\"error\"} 1", "{level=\"debug\"} 0"] {
            assert!(
                rendered.contains(&format!("grantex_log_lines_total{series}")),
                "{series}"
            );
        }
        assert!(rendered.contains("grantex_log_lines_dropped_total 0"));
    }

    #[test]
    fn a_person_reads_the_terminal_format() {
        let out = Shared::default();
        let telemetry = start_on(logs(LogFormat::Terminal), None, Arc::new(Fixed), out.clone());
        slog::warn!(telemetry.logger, "rate_limit.hit"; "ip" => "192.0.2.1");
        drop(telemetry);
        assert_eq!(
            out.text(),
            "2026-03-01T12:00:00.000Z warn  rate_limit.hit, ip: 192.0.2.1\n"
        );
    }

    /// Blocks until it is told to go on.
    struct Stuck(mpsc::Receiver<()>, Shared);
    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            self.1.write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_stuck_writer_drops_lines_and_never_blocks() {
        let (go_on, stuck) = mpsc::channel();
        let out = Shared::default();
        let metrics = Metrics::new("0", &[]).unwrap();
        let telemetry = start_on(
            logs(LogFormat::Json),
            Some(metrics.clone()),
            Arc::new(Fixed),
            Stuck(stuck, out.clone()),
        );
        // Dropped before the telemetry, which waits for the writer, also when an assertion fails.
        let go_on = go_on;
        let count = QUEUE + BUFFER;
        for _ in 0..count {
            slog::info!(telemetry.logger, "line");
        }
        // The log may have told of a gap in between, and that line may have been taken or dropped like any other.
        let rendered = metrics.render();
        let total = |name: &str| {
            rendered
                .lines()
                .filter_map(|line| line.strip_prefix(name)?.rsplit(' ').next())
                .map(|value| value.parse::<usize>().unwrap())
                .sum::<usize>()
        };
        let dropped = total("grantex_log_lines_dropped_total");
        // Beside those that wait, the writer holds at most one buffer of lines.
        assert!((1..=BUFFER).contains(&dropped), "{dropped}");
        drop(go_on);
        drop(telemetry);
        let logged = total("grantex_log_lines_total");
        assert!(logged >= count);
        assert_eq!(out.text().lines().count(), logged - dropped);
    }
}
