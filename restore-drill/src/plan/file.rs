//! The plan as a TOML file: its keys, read and validated.

use std::path::Path;
use std::time::Duration;

use lifeboat::archive::digest::Sha256;
use lifeboat::disk;
use lifeboat::error::{Error, Result};
use serde::Deserialize;
use toml::Spanned;

use super::kubernetes::RawKube;
use super::odoo::RawOdoo;
use super::source::{RawAccept, Source};
use super::target::{Goal, Moment};
use super::{CHECK_TIMEOUT, PARALLEL_MAX, Plan, SCRATCH_DIR};

const FILE_BYTES_MAX: u64 = 1024 * 1024;
const CHECK_TIMEOUT_MAX: Duration = Duration::from_secs(24 * 3600);
const TENANTS_MAX: usize = 10_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    config: Spanned<String>,
    tenant: Option<Spanned<String>>,
    tenants: Option<Vec<Spanned<String>>>,
    instance: Option<Spanned<bool>>,
    sample: Option<Spanned<u64>>,
    parallel: Option<Spanned<u64>>,
    snapshot: Option<Spanned<String>>,
    release: Option<Spanned<String>>,
    target: Option<Spanned<String>>,
    seed: Option<u64>,
    approved_by: Option<String>,
    owner: Option<String>,
    due: Option<Spanned<String>>,
    #[serde(default)]
    objective: RawObjective,
    #[serde(default)]
    checks: RawChecks,
    #[serde(default)]
    accept: Vec<RawAccept>,
    #[serde(default)]
    postgres: RawPostgres,
    #[serde(default)]
    scratch: RawScratch,
    odoo: Option<RawOdoo>,
    kubernetes: Option<RawKube>,
    #[serde(default)]
    lifeboat: RawLifeboat,
}

impl Source<'_> {
    /// Refuses keys that do not go with `instance = true`.
    fn of_instance(&self, raw: &Raw) -> Result<()> {
        let at = |value: &Option<Spanned<String>>| value.as_ref().map(|value| value.span().start);
        let number = |value: &Option<Spanned<u64>>| value.as_ref().map(|value| value.span().start);
        let several = raw.tenants.as_ref().and_then(|all| all.first()).map(|first| first.span().start);
        let tenants = "give either instance or tenants: all tenants of an instance are drilled";
        let dump = "a whole instance is restored to a point in time: use target";
        let wrong = [
            (at(&raw.tenant).or(several), tenants),
            (number(&raw.sample).or(number(&raw.parallel)), "it goes with tenants, not with instance"),
            (at(&raw.snapshot).or(at(&raw.release)), dump),
        ];
        if let Some((offset, what)) = wrong.iter().find_map(|(at, what)| Some(((*at)?, what))) {
            return Err(self.wrong(offset, what));
        }
        match raw.odoo {
            Some(_) => Err(self.whole("[odoo] does not go with instance = true: no Odoo is started on an instance; drill tenants too")),
            None => Ok(()),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawObjective {
    rpo: Option<Spanned<String>>,
    rto: Option<Spanned<String>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawChecks {
    extra_dir: Option<Spanned<String>>,
    timeout: Option<Spanned<String>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPostgres {
    bin_dir: Option<Spanned<String>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawScratch {
    dir: Option<Spanned<String>>,
    #[serde(default)]
    keep: bool,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLifeboat {
    program: Option<Spanned<String>>,
}

/// Reads a plan.
///
/// # Errors
/// `Config` for a key that is unknown, missing or has a wrong value; `NotFound` and other
/// errors of the file system for the file itself.
pub fn load(path: &Path) -> Result<Plan> {
    let path = std::path::absolute(path).map_err(|e| Error::file("find", path, e))?;
    let text = disk::read_text(&path, FILE_BYTES_MAX).map_err(|e| {
        e.effect("no drill was run").next("correct the path; restore-drill run --help describes plans")
    })?;
    parse(&path, &text)
}

fn parse(path: &Path, text: &str) -> Result<Plan> {
    let source = Source { path, text };
    let raw: Raw = toml::from_str(text).map_err(|e| source.syntax(&e))?;
    let place = |value: Spanned<String>| source.path(value);
    let instance = raw.instance.as_ref().is_some_and(|given| *given.as_ref());
    if raw.kubernetes.is_some() {
        let scratch = raw.scratch.keep || raw.scratch.dir.is_some();
        for (set, table) in [(scratch, "scratch"), (raw.lifeboat.program.is_some(), "lifeboat")] {
            if set {
                let what = "with [kubernetes] nothing is restored on this machine, and nothing is kept";
                return Err(source.whole(&format!("[{table}] and [kubernetes] are both set: {what}")));
            }
        }
        if instance {
            let what = "in Kubernetes, tenants are drilled; drill the whole instance on a host";
            return Err(source.whole(&format!("instance and [kubernetes] are both set: {what}")));
        }
    }
    let (tenants, goal) = match instance {
        true => {
            source.of_instance(&raw)?;
            let target = raw.target.map_or(Ok(Moment::Latest), |target| source.name(target))?;
            (Vec::new(), Goal::Point(target))
        }
        false => {
            (source.tenants(raw.tenant, raw.tenants)?, source.goal(raw.snapshot, raw.release, raw.target)?)
        }
    };
    Ok(Plan {
        file: path.to_owned(),
        sha256: Some(Sha256::of(text.as_bytes())),
        approved_by: raw.approved_by,
        owner: raw.owner,
        due: raw.due.map(|value| source.duration(value)).transpose()?,
        config: place(raw.config)?,
        tenants,
        instance,
        sample: raw.sample.map(|value| source.count(value, TENANTS_MAX)).transpose()?,
        parallel: match raw.parallel {
            None => PARALLEL_MAX,
            Some(value) => source.count(value, PARALLEL_MAX)?,
        },
        goal,
        seed: raw.seed,
        rpo: raw.objective.rpo.map(|value| source.duration(value)).transpose()?,
        rto: raw.objective.rto.map(|value| source.duration(value)).transpose()?,
        checks_extra_dir: raw.checks.extra_dir.map(place).transpose()?,
        accepted: source.accepted(raw.accept)?,
        check_timeout: match raw.checks.timeout {
            None => CHECK_TIMEOUT,
            Some(value) => source.bounded(value, CHECK_TIMEOUT_MAX)?,
        },
        postgres_bin_dir: raw.postgres.bin_dir.map(place).transpose()?,
        scratch_dir: raw.scratch.dir.map(place).transpose()?.unwrap_or_else(|| SCRATCH_DIR.into()),
        keep: raw.scratch.keep,
        odoo: raw.odoo.map(|raw| raw.read(&source)).transpose()?,
        kubernetes: raw.kubernetes.map(|raw| raw.read(&source)).transpose()?,
        lifeboat: raw.lifeboat.program.map(place).transpose()?,
    })
}

#[cfg(test)]
mod tests {
    use lifeboat::error::Kind;

    use super::*;

    const WHOLE: &str = "config = \"lifeboat.toml\"\ntenant = \"shop\"\n\
        snapshot = \"20261120T015812Z-dump-4f3a9c1e\"\n\n[objective]\nrpo = \"24h\"\nrto = \"30m\"\n\n\
        [checks]\nextra_dir = \"/etc/checks\"\ntimeout = \"90s\"\n\n[postgres]\nbin_dir = \"pg/bin\"\n\n\
        [scratch]\ndir = \"../scratch\"\nkeep = true\n\n[lifeboat]\nprogram = \"/usr/bin/lifeboat\"\n\n\
        [odoo]\ncommand = [\"odoo/odoo-bin\", \"-x\"]\naddons_path = [\"addons\", \"/srv/own\"]\n\
        boot_timeout = \"5m\"\ntransactions = false\n";

    fn of(text: &str) -> Result<Plan> {
        parse(Path::new("/plans/shop.toml"), text)
    }

    #[test]
    fn a_whole_plan_is_read_and_its_paths_are_beside_it() {
        let plan = of(WHOLE).unwrap();
        assert_eq!(plan.config, Path::new("/plans/lifeboat.toml"));
        assert_eq!(plan.rpo, Some(Duration::from_secs(86_400)));
        assert_eq!(plan.rto, Some(Duration::from_secs(1_800)));
        assert_eq!(plan.check_timeout, Duration::from_secs(90));
        assert_eq!(plan.postgres_bin_dir.as_deref(), Some(Path::new("/plans/pg/bin")));
        assert_eq!(plan.checks_extra_dir.as_deref(), Some(Path::new("/etc/checks")));
        assert!(plan.keep && matches!(plan.goal, Goal::Dump(_)) && plan.lifeboat.is_some());
        assert_eq!(plan.only_tenant().unwrap().as_str(), "shop");
        let odoo = plan.odoo.unwrap();
        assert_eq!(odoo.command, ["/plans/odoo/odoo-bin", "-x"]);
        assert_eq!(odoo.addons_path, [Path::new("/plans/addons"), Path::new("/srv/own")]);
        assert_eq!((odoo.boot_timeout, odoo.transactions), (Duration::from_secs(300), false));
    }

    #[test]
    fn two_keys_are_enough() {
        let plan = of("config = \"/etc/lifeboat.toml\"\ntenant = \"shop\"\n").unwrap();
        assert_eq!((plan.rpo, plan.rto, plan.keep, &plan.odoo), (None, None, false, &None));
        assert_eq!(plan.scratch_dir, Path::new(SCRATCH_DIR));
        assert_eq!((&plan.goal, plan.sample, plan.parallel), (&Goal::NewestDump, None, 2));
        let many = of(
            "config = \"c\"\ntenants = [\"retail_*\", \"shop\"]\nsample = 3\ntarget = \"random\"\nseed = 7\n",
        );
        let many = many.unwrap();
        assert_eq!((many.only_tenant(), many.sample, many.seed), (None, Some(3), Some(7)));
        assert!(many.covers(&"retail_north".parse().unwrap()) && !many.covers(&"books".parse().unwrap()));
        assert_eq!(plan.check_timeout, CHECK_TIMEOUT);
    }

    #[test]
    fn a_drill_in_kubernetes_keeps_nothing_here() {
        let two = "config = \"c\"\ntenant = \"shop\"\n";
        let table = "[kubernetes]\nimage = \"r/i:1\"\nrepository = [\"10.0.0.1:9000\"]\n";
        let kube = of(&format!("{two}{table}")).unwrap().kubernetes.unwrap();
        assert_eq!((kube.memory.as_str(), kube.time_to_live.as_secs()), ("4Gi", 6 * 3600));
        assert_eq!((kube.repository[0].cidr().as_str(), kube.kubectl.as_str()), ("10.0.0.1/32", "kubectl"));
        for (more, said) in [
            ("memory = \"4GB\"", "line 6: kubernetes.memory: \"4GB\" is not an amount such as \"4Gi\""),
            ("time_to_live = \"8d\"", "line 6: kubernetes.time_to_live: \"8d\" is not between 1s and 7d"),
            ("context = \"\"", "line 6: kubernetes.context: it is empty"),
            ("namespace = \"x\"", "line 6: kubernetes.namespace: unknown field"),
            ("[scratch]\nkeep = true", "[scratch] and [kubernetes] are both set"),
            ("[lifeboat]\nprogram = \"x\"", "[lifeboat] and [kubernetes] are both set"),
        ] {
            let error = of(&format!("{two}{table}{more}\n")).unwrap_err();
            assert!(error.what().contains(said), "{:?} should say {said:?}", error.what());
        }
        let names = table.replace("10.0.0.1:9000", "s3.example.com:443");
        let error = of(&format!("{two}{names}")).unwrap_err();
        assert!(
            error.what().contains("line 5: kubernetes.repository: \"s3.example.com:443\" is not a network")
        );
    }

    #[test]
    fn known_violations_need_a_number_a_reason_and_an_end() {
        let known = "[[accept]]\ncheck = \"ACC01\"\nmax = 3\nreason = \"of 2019\"\nuntil = \"2027-01-31\"\n";
        let two = "config = \"c\"\ntenant = \"shop\"\n";
        let plan = of(&format!("{two}{known}")).unwrap();
        assert_eq!((plan.accepted[0].max, plan.accepted[0].last_day().as_str()), (3, "2027-01-31"));
        for (from, to, said) in [
            ("max = 3", "max = 0", "line 5: accept.max: 0 accepts nothing"),
            ("max = 3", "max = -1", "line 5: accept.max: invalid value"),
            ("max = 3\n", "", "missing field `max`"),
            ("of 2019", " ", "line 6: accept.reason: say why"),
            ("2027-01-31", "next year", "line 7: accept.until: \"next year\" is not a day"),
            ("until = \"2027-01-31\"\n", "", "missing field `until`"),
        ] {
            let error = of(&format!("{two}{}", known.replacen(from, to, 1))).unwrap_err();
            assert!(error.what().contains(said), "{:?} should say {said:?}", error.what());
        }
        let twice = of(&format!("{two}{known}{known}")).unwrap_err();
        assert!(twice.what().contains("line 9: accept.check: \"ACC01\" is accepted twice"), "{twice:?}");
    }

    #[test]
    fn a_wrong_plan_is_named_with_file_line_and_key() {
        for (from, to, said) in [
            ("tenant = \"shop\"\n", "", "/plans/shop.toml: the plan names no tenant"),
            ("tenant = \"shop\"", "tenant = \"a/b\"", "line 2: tenant: tenant name \"a/b\" contains a slash"),
            ("tenant = \"shop\"", "tenant = 7", "line 2: tenant: invalid type: integer `7`"),
            ("tenant", "tennant", "line 2: tennant: unknown field `tennant`"),
            ("rpo = ", "rpa = ", "line 6: objective.rpa: unknown field `rpa`"),
            ("[checks]", "[cheks]", "line 9: cheks: unknown field `cheks`"),
            ("24h", "a day", "line 6: objective.rpo: \"a day\" is not a duration such as 24h"),
            ("24h", "0h", "line 6: objective.rpo: \"0h\" is not between"),
            ("90s", "9d", "line 11: checks.timeout: \"9d\" is not between 1s and 1d"),
            ("24h", "99999999999999999999h", "line 6: objective.rpo: "),
            ("20261120T015812Z-dump-4f3a9c1e", "latest", "line 3: snapshot: snapshot ID \"latest\""),
            ("[\"odoo/odoo-bin\", \"-x\"]", "[]", "line 24: odoo.command: it is empty"),
            ("[\"odoo/odoo-bin\", \"-x\"]", "\"odoo-bin\"", "line 24: odoo.command: invalid type"),
            ("\"-x\"", "\"\"", "line 24: odoo.command: a word of it is empty"),
            ("\"addons\", ", "\"a,b\", ", "line 25: odoo.addons_path: Odoo takes no comma"),
            ("5m", "0m", "line 26: odoo.boot_timeout: \"0m\" is not between"),
            ("boot_timeout", "boot_limit", "line 26: odoo.boot_limit: unknown field"),
            ("transactions = false", "transactions = 1", "line 27: odoo.transactions: invalid type"),
            ("keep = true", "keep = \"yes\"", "line 18: scratch.keep: invalid type"),
            ("\"pg/bin\"", "\"\"", "line 14: postgres.bin_dir: the path is empty"),
            ("tenant = \"shop\"", "tenant = shop", "line 2: tenant: "),
            ("tenant = \"shop\"", "tenant = \"shop\"\ntenants = [\"x\"]", "line 2: tenant: give either"),
            ("tenant = \"shop\"", "tenants = [\"a/b\"]", "line 2: tenants: \"a/b\" is neither"),
            (
                "tenant = \"shop\"",
                "tenant = \"shop\"\nparallel = 3",
                "line 3: parallel: 3 is not between 1 and 2",
            ),
            ("tenant = \"shop\"", "tenant = \"shop\"\ntarget = \"random\"", "line 3: target: only one of"),
            (
                "snapshot = \"20261120T015812Z-dump-4f3a9c1e\"",
                "target = \"soon\"",
                "line 3: target: \"soon\" is not a time",
            ),
            ("tenant = \"shop\"", "tenant = \"shop\"\ntenant = \"x\"", "line 3: tenant: duplicate key"),
        ] {
            assert!(WHOLE.contains(from), "{from}");
            let error = of(&WHOLE.replacen(from, to, 1)).unwrap_err();
            assert_eq!(error.kind(), Kind::Config);
            assert!(error.what().contains(said), "{:?} should say {said:?}", error.what());
        }
    }
}
