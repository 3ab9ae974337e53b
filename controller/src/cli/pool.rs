//! Containers behind a queue: which, for what, and at what price.

use stagger_coordinator::{BatchRequest, PoolRequest};
use stagger_estimation::kernel::KernelKind;
use stagger_forecast::Prices;
use stagger_forecast::heavy::{EC2_START, FARGATE_START, GPU_SPEED, HeavyRule, PoolAssumptions};
use stagger_model::failure::Failure;

use super::run_args::ContainerArgs;
use super::spec::non_empty;
use super::values::size;

/// The queue that `infra/` made.
const QUEUE: &str = "STAGGER_QUEUE";
/// Seconds that a task waits for a container, if nobody says: an EC2 instance takes a few minutes to start (PLATFORM §2.4).
const PATIENCE: f64 = 300.0;
/// The longest that anybody may want to wait.
const LONGEST: f64 = 86_400.0;
/// Default megabytes of a container's memory: those of the job definitions of `infra/`.
const MEMORY_MB: u32 = 15_360;

/// The containers that the arguments name; `beside` functions, or instead of them.
pub(crate) fn pool(args: &ContainerArgs, beside: bool) -> Result<PoolRequest, Failure> {
    let kind = device(args, beside)?;
    let batch = non_empty(&args.batch).map(|text| batch(&text)).transpose()?;
    let heavy = match beside {
        true => heavy(args, kind, batch.as_ref())?,
        false => only_beside(args)?,
    };
    Ok(PoolRequest {
        queue: queue(args)?,
        kind,
        heavy,
        patience: patience(args.queue_patience)?,
        hourly: hourly(args.queue_price, kind, batch.is_some())?,
        memory_mb: MEMORY_MB,
        strict: strict(args, kind, beside)?,
        batch,
    })
}

/// Refuses what only runs on containers have.
pub(crate) fn refuse_pool_options(args: &ContainerArgs) -> Result<(), Failure> {
    let only = [
        ("queue", non_empty(&args.queue).is_some()),
        ("gpu", non_empty(&args.gpu).is_some()),
        ("gpu_above", non_empty(&args.gpu_above).is_some()),
        ("strict_bits", args.strict_bits == Some(true)),
        ("queue_patience", args.queue_patience.is_some()),
        ("queue_price", args.queue_price.is_some()),
        ("batch", non_empty(&args.batch).is_some()),
    ];
    if let Some((name, _)) = only.iter().find(|(_, given)| *given) {
        return Err(Failure::input(format!("{name} is for runs on containers, and this is none"))
            .hint("--backend queue, or both for containers beside Lambda"));
    }
    match non_empty(&args.device).as_deref() {
        None | Some("cpu") => Ok(()),
        Some("cuda") => Err(Failure::input("device \"cuda\" is for containers behind a queue")
            .hint("--backend queue --device cuda, with `gpu-worker --device cuda` at the queue")),
        Some(other) => {
            Err(Failure::input(format!("device must be \"cpu\" or \"cuda\"; received \"{other}\""))
                .hint("cpu computes the bits of functions, cuda needs an NVIDIA GPU"))
        }
    }
}

fn queue(args: &ContainerArgs) -> Result<String, Failure> {
    let environment = || std::env::var(QUEUE).ok().map(|url| url.trim().to_owned());
    let url = non_empty(&args.queue).or_else(environment).filter(|url| !url.is_empty()).ok_or_else(|| {
        Failure::input("no queue is named to run on")
            .hint("--queue URL, or STAGGER_QUEUE; `infra/deploy --jobs` makes one and prints it")
    })?;
    match url.starts_with("https://") || url.starts_with("http://") {
        true => Ok(url),
        false => Err(Failure::input(format!("queue must be the URL of an SQS queue; received \"{url}\""))
            .hint("https://sqs.REGION.amazonaws.com/ACCOUNT/NAME")),
    }
}

fn device(args: &ContainerArgs, beside: bool) -> Result<KernelKind, Failure> {
    match non_empty(&args.device).as_deref() {
        None if beside => Ok(KernelKind::Cuda),
        None | Some("cpu") => Ok(KernelKind::Cpu),
        Some("cuda") => Ok(KernelKind::Cuda),
        Some(other) => {
            Err(Failure::input(format!("device must be \"cpu\" or \"cuda\"; received \"{other}\""))
                .hint("cpu computes the bits of functions, cuda needs an NVIDIA GPU"))
        }
    }
}

fn only_beside(args: &ContainerArgs) -> Result<HeavyRule, Failure> {
    for (name, set) in [("gpu", non_empty(&args.gpu)), ("gpu_above", non_empty(&args.gpu_above))] {
        if set.is_some() {
            return Err(Failure::input(format!("{name} chooses between Lambda and containers"))
                .hint("--backend both, or leave it out: with --backend queue all tasks are for containers"));
        }
    }
    Ok(HeavyRule::Never)
}

fn heavy(args: &ContainerArgs, kind: KernelKind, batch: Option<&BatchRequest>) -> Result<HeavyRule, Failure> {
    match (non_empty(&args.gpu).as_deref(), non_empty(&args.gpu_above)) {
        (Some("off"), None) if batch.is_some() => {
            Err(Failure::input("gpu is \"off\", but batch starts containers, which would get no task")
                .hint("leave one out; --backend lambda runs without containers"))
        }
        (Some("off"), None) => Ok(HeavyRule::Never),
        (Some("off"), Some(_)) => {
            Err(Failure::input("gpu is \"off\", but gpu_above is given").hint("leave one out"))
        }
        (Some("auto") | None, None) => Ok(HeavyRule::Auto(pool_facts(kind, batch))),
        (Some("auto"), Some(_)) => Err(Failure::input("gpu is \"auto\", but gpu_above is given")
            .hint("leave one out: the forecast decides, or a size")),
        (None, Some(text)) => above(&text),
        (Some(other), _) => {
            Err(Failure::input(format!("gpu must be \"auto\" or \"off\"; received \"{other}\""))
                .hint("--gpu-above 2GB chooses by the size of a task"))
        }
    }
}

/// Returns the assumptions about containers: those of AWS Batch have to be started, others run already.
pub(crate) fn pool_facts(kind: KernelKind, batch: Option<&BatchRequest>) -> PoolAssumptions {
    let speed = if kind == KernelKind::Cuda { GPU_SPEED } else { 1.0 };
    let start = match (batch, kind) {
        (None, _) => 0.0,
        (Some(_), KernelKind::Cuda) => EC2_START,
        (Some(_), KernelKind::Cpu) => FARGATE_START,
    };
    PoolAssumptions { workers: batch.map_or(1, |batch| batch.workers), start, speed }
}

/// `2000000rows`, `2GB`, `30s`.
fn above(text: &str) -> Result<HeavyRule, Failure> {
    let lower = text.trim().to_ascii_lowercase();
    let number = |digits: &str| {
        digits.trim().replace('_', "").parse::<f64>().ok().filter(|n| *n >= 0.0 && n.is_finite())
    };
    let rule = if let Some(rows) = lower.strip_suffix("rows") {
        number(rows).map(|rows| HeavyRule::Rows(rows as u64))
    } else if let Some(seconds) = lower.strip_suffix('s') {
        number(seconds).map(HeavyRule::Seconds)
    } else if lower.ends_with('b') {
        size(&lower).ok().map(HeavyRule::Bytes)
    } else {
        None
    };
    rule.ok_or_else(|| {
        Failure::input(format!("gpu_above must be rows, bytes or seconds of a task; received \"{text}\""))
            .hint("2000000rows, 2GB or 30s")
    })
}

fn patience(seconds: Option<f64>) -> Result<f64, Failure> {
    match seconds.unwrap_or(PATIENCE) {
        seconds if seconds > 0.0 && seconds <= LONGEST => Ok(seconds),
        other => Err(Failure::input(format!(
            "queue_patience must be a positive number of seconds, a day at most; received {other}"
        ))
        .hint("300 is the default: an EC2 instance takes a few minutes to start")),
    }
}

fn hourly(price: Option<f64>, kind: KernelKind, batch: bool) -> Result<f64, Failure> {
    match price {
        Some(price) if price >= 0.0 && price.is_finite() => Ok(price),
        Some(other) => Err(Failure::input(format!("queue_price must be dollars an hour; received {other}"))
            .hint("0 for machines that are there anyway")),
        None if batch => {
            let prices = Prices::built_in()?;
            Ok(if kind == KernelKind::Cuda { prices.gpu_hour } else { prices.cpu_hour })
        }
        // Machines that are there anyway.
        None => Ok(0.0),
    }
}

fn strict(args: &ContainerArgs, kind: KernelKind, beside: bool) -> Result<bool, Failure> {
    let strict = args.strict_bits.unwrap_or(false);
    if strict && beside && kind == KernelKind::Cuda && non_empty(&args.device).is_some() {
        return Err(Failure::input("strict_bits keeps a run on one kind of worker, and Lambda has no GPUs")
            .hint("--backend queue --device cuda, or --backend both --device cpu"));
    }
    Ok(strict)
}

/// `QUEUE:DEFINITION`, `QUEUE:DEFINITION:8`; a definition's revision would be taken for the number, so it stands after an `@`.
fn batch(text: &str) -> Result<BatchRequest, Failure> {
    let wrong = || {
        Failure::input(format!("batch must name a job queue and a job definition; received \"{text}\""))
            .hint("QUEUE:DEFINITION or QUEUE:DEFINITION:8 for eight containers; a revision as DEFINITION@3")
    };
    let mut parts = text.split(':').map(str::trim);
    let (Some(queue), Some(definition), workers, None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(wrong());
    };
    let workers = workers.map_or(Ok(1), |n| n.parse::<usize>().map_err(|_| wrong()))?;
    if queue.is_empty() || definition.is_empty() || !(1..=10_000).contains(&workers) {
        return Err(wrong());
    }
    Ok(BatchRequest { queue: queue.to_owned(), definition: definition.replace('@', ":"), workers })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(queue: &str) -> ContainerArgs {
        ContainerArgs { queue: Some(queue.to_owned()), ..ContainerArgs::default() }
    }

    #[test]
    fn rules_have_units() {
        assert_eq!(above("2000000rows").unwrap(), HeavyRule::Rows(2_000_000));
        assert_eq!(above("1_000 rows").unwrap(), HeavyRule::Rows(1000));
        assert_eq!(above("2GB").unwrap(), HeavyRule::Bytes(2_000_000_000));
        assert_eq!(above("1.5s").unwrap(), HeavyRule::Seconds(1.5));
        for wrong in ["", "5", "rows", "-1s", "2 pounds", "xGB"] {
            assert!(above(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn batch_names_queue_definition_and_number() {
        let jobs = batch("gpus:worker@3:8").unwrap();
        assert_eq!((jobs.queue.as_str(), jobs.definition.as_str(), jobs.workers), ("gpus", "worker:3", 8));
        assert_eq!(batch("gpus:worker").unwrap().workers, 1);
        for wrong in ["gpus", "gpus:", ":worker", "a:b:0", "a:b:c", "a:b:1:2"] {
            assert!(batch(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn containers_beside_lambda_are_gpus_unless_somebody_says() {
        let beside = pool(&args("https://q"), true).unwrap();
        assert_eq!(
            (beside.kind, beside.hourly),
            (KernelKind::Cuda, 0.0),
            "machines that are there cost nothing more"
        );
        assert!(
            matches!(beside.heavy, HeavyRule::Auto(facts) if facts.start == 0.0 && facts.speed == GPU_SPEED)
        );
        let alone = pool(&args("https://q"), false).unwrap();
        assert_eq!((alone.kind, alone.heavy), (KernelKind::Cpu, HeavyRule::Never));
        let jobs = ContainerArgs { batch: Some("a:b:2".to_owned()), ..args("https://q") };
        let jobs = pool(&jobs, true).unwrap();
        assert!(jobs.hourly > 0.1, "by the price list");
        assert!(
            matches!(jobs.heavy, HeavyRule::Auto(facts) if facts.start == EC2_START && facts.workers == 2)
        );
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let text = |refused: Result<PoolRequest, Failure>| refused.unwrap_err().to_string();
        let with = |change: fn(&mut ContainerArgs)| {
            let mut all = args("https://q");
            change(&mut all);
            all
        };
        assert!(text(pool(&args("tasks"), false)).contains("received \"tasks\""));
        assert!(text(pool(&with(|a| a.gpu = Some("auto".into())), false)).contains("--backend both"));
        assert!(text(pool(&with(|a| a.gpu = Some("on".into())), true)).contains("received \"on\""));
        assert!(text(pool(&with(|a| a.queue_patience = Some(0.0)), true)).contains("received 0"));
        assert!(text(pool(&with(|a| a.queue_price = Some(-1.0)), true)).contains("received -1"));
        let strict = with(|a| (a.strict_bits, a.device) = (Some(true), Some("cuda".into())));
        assert!(text(pool(&strict, true)).contains("Lambda has no GPUs"));
        assert!(refuse_pool_options(&args("https://q")).unwrap_err().to_string().contains("--backend queue"));
    }
}
