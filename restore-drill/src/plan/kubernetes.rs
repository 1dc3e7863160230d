//! The table `[kubernetes]` of a plan: the cluster in which a drill runs, and what it may use there.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use lifeboat::error::Result;
use serde::Deserialize;
use toml::Spanned;

use super::source::Source;

const TIME_TO_LIVE: Duration = Duration::from_secs(6 * 3600);
const TIME_TO_LIVE_MAX: Duration = Duration::from_secs(7 * 86_400);
/// Entries of `repository`.
const WAYS_MAX: usize = 100;

/// Where in Kubernetes, and with what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubePlan {
    /// The image of the pods: it contains `restore-drill`, `lifeboat` and PostgreSQL's server.
    pub image: String,
    /// The program `kubectl`.
    pub kubectl: String,
    /// Its configuration; if `None`, the one that it finds itself, in a pod that of the pod.
    pub kubeconfig: Option<PathBuf>,
    /// The context in it; if `None`, its current one.
    pub context: Option<String>,
    /// How many CPUs a pod may use.
    pub cpu: String,
    /// How much memory a pod may use.
    pub memory: String,
    /// The size of the volume with the restored data.
    pub storage: String,
    /// The class of the volume; if `None`, the cluster's default.
    pub storage_class: Option<String>,
    /// How long the drill may take. What is older is removed by the next drill.
    pub time_to_live: Duration,
    /// What the restore may connect to.
    pub repository: Vec<Way>,
}

/// Addresses and a port that a pod may connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// The network.
    pub network: IpAddr,
    /// The length of its prefix.
    pub prefix: u8,
    /// The port.
    pub port: u16,
}

impl Way {
    /// `10.0.0.0/8:443`, `[2001:db8::]/32:443`; without a prefix one address.
    fn parse(text: &str) -> Option<Way> {
        let (network, port) = text.rsplit_once(':')?;
        let (address, prefix) = match network.rsplit_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (network, None),
        };
        let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
        let network: IpAddr = bare.parse().ok().filter(|ip: &IpAddr| ip.is_ipv4() == (bare == address))?;
        let most = if network.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Some(most), |prefix| prefix.parse().ok())?;
        let port = port.parse().ok().filter(|port| *port != 0)?;
        (prefix <= most).then_some(Way { network, prefix, port })
    }

    /// As a NetworkPolicy writes it: `10.0.0.0/8`.
    pub fn cidr(&self) -> String {
        format!("{}/{}", self.network, self.prefix)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawKube {
    image: Spanned<String>,
    kubectl: Option<Spanned<String>>,
    kubeconfig: Option<Spanned<String>>,
    context: Option<Spanned<String>>,
    cpu: Option<Spanned<String>>,
    memory: Option<Spanned<String>>,
    storage: Option<Spanned<String>>,
    storage_class: Option<Spanned<String>>,
    time_to_live: Option<Spanned<String>>,
    repository: Spanned<Vec<Spanned<String>>>,
}

impl RawKube {
    pub(super) fn read(self, source: &Source<'_>) -> Result<KubePlan> {
        let word = |value: Spanned<String>| match value.as_ref().trim().is_empty() {
            true => Err(source.wrong(value.span().start, "it is empty")),
            false => Ok(value.into_inner()),
        };
        let amount = |value: Option<Spanned<String>>, usual: &str, units: &[&str]| match value {
            None => Ok(usual.to_owned()),
            Some(value) if is_amount(value.as_ref(), units) => Ok(value.into_inner()),
            Some(value) => {
                let what = format!("{:?} is not an amount such as {usual:?}", value.as_ref());
                Err(source.wrong(value.span().start, &what))
            }
        };
        let (at, ways) = (self.repository.span().start, self.repository.into_inner());
        if ways.is_empty() || ways.len() > WAYS_MAX {
            let what = "name the addresses of the repository, such as [\"203.0.113.7/32:443\"]";
            return Err(source.wrong(at, what));
        }
        let way = |value: Spanned<String>| {
            Way::parse(value.as_ref()).ok_or_else(|| {
                let what =
                    format!("{:?} is not a network and a port such as 203.0.113.7/32:443", value.as_ref());
                source.wrong(value.span().start, &what)
            })
        };
        const BYTES: [&str; 4] = ["Ki", "Mi", "Gi", "Ti"];
        Ok(KubePlan {
            image: word(self.image)?,
            kubectl: self.kubectl.map_or_else(|| Ok("kubectl".to_owned()), word)?,
            kubeconfig: self.kubeconfig.map(|value| source.path(value)).transpose()?,
            context: self.context.map(word).transpose()?,
            cpu: amount(self.cpu, "2", &["", "m"])?,
            memory: amount(self.memory, "4Gi", &BYTES)?,
            storage: amount(self.storage, "20Gi", &BYTES)?,
            storage_class: self.storage_class.map(word).transpose()?,
            time_to_live: match self.time_to_live {
                None => TIME_TO_LIVE,
                Some(value) => source.bounded(value, TIME_TO_LIVE_MAX)?,
            },
            repository: ways.into_iter().map(way).collect::<Result<_>>()?,
        })
    }
}

/// Whether it is a whole number with one of these units.
fn is_amount(text: &str, units: &[&str]) -> bool {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    (1..=9).contains(&digits) && !number.bytes().all(|c| c == b'0') && units.contains(&unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_is_a_network_and_a_port() {
        let of = |text: &str| Way::parse(text).map(|way| (way.cidr(), way.port));
        assert_eq!(of("10.1.0.0/16:443"), Some(("10.1.0.0/16".to_owned(), 443)));
        assert_eq!(of("10.98.1.1:9000"), Some(("10.98.1.1/32".to_owned(), 9000)));
        assert_eq!(of("[2001:db8::]/32:443"), Some(("2001:db8::/32".to_owned(), 443)));
        for wrong in
            ["", "10.1.1.1", "10.1.1.1/33:443", "s3.example.com:443", "10.1.1.1:0", "2001:db8::/32:443"]
        {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_amount_has_a_number_and_a_known_unit() {
        assert!(is_amount("512Mi", &["Mi"]) && is_amount("500m", &["", "m"]) && is_amount("2", &[""]));
        for wrong in ["", "0", "Mi", "4 Gi", "4GB", "-1", "00"] {
            assert!(!is_amount(wrong, &["", "Mi", "Gi"]), "{wrong}");
        }
    }
}
