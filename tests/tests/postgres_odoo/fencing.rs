//! The collection fence against a collector.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_fence_keeps_the_collector_out_and_yields_to_one_that_waits() {
    let cluster = Cluster::start_default();
    tenant(&cluster, "shop");
    let options = options(&cluster);
    let collect = "set lock_timeout = '20s'; begin; lock table public.ir_attachment in share mode; commit";
    let fence = Fence::hold(&options, "shop", Duration::from_secs(60)).await;
    assert!(fence.is_held());
    let refused =
        cluster.try_psql("shop", "set lock_timeout = '100ms'; begin; lock table ir_attachment in share mode");
    assert!(refused.unwrap_err().contains("lock timeout"), "no collection while the fence stands");
    // That collector waited for 100 ms, which a look every 200 ms may have seen: stand anew.
    drop(fence);
    let fence = Fence::hold(&options, "shop", Duration::from_secs(60)).await;
    cluster.psql("shop", "insert into ir_attachment (name) values ('writers pass'); vacuum res_partner");
    let xmin = cluster.psql("shop", "select count(*) from pg_stat_activity where backend_xmin is not null and pid <> pg_backend_pid() and state like 'idle%'");
    assert_eq!(xmin, "0", "it does not hold back vacuum");
    let end = fence.release().await;
    assert_eq!(end.because, Released::Done, "{end:?}");
    cluster.psql("shop", collect);

    let fence = Fence::hold(&options, "shop", Duration::from_secs(60)).await;
    let begun = Instant::now();
    let mut collector = Session::connect(&options, "shop").await.unwrap();
    collector.execute("collect", collect).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(20), "it waited {:?}", begun.elapsed()); // not for its minute
    assert_eq!(fence.release().await.because, Released::SomeoneWaited);

    let fence = Fence::hold(&options, "shop", Duration::from_millis(300)).await;
    let begun = Instant::now();
    while fence.is_held() {
        assert!(begun.elapsed() < Duration::from_secs(20), "it outlives its bound");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let end = fence.release().await;
    assert!(end.because == Released::TimeBound && end.held_ms >= 300, "{end:?}");

    let fence = Fence::hold(&options, "shop", Duration::from_secs(60)).await;
    cluster.psql("postgres", "select pg_terminate_backend(pid) from pg_stat_activity where datname = 'shop'");
    let end = fence.release().await;
    assert!(matches!(end.because, Released::Lost(_)), "{end:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fence_that_is_not_granted_is_an_outcome() {
    let cluster = Cluster::start_default();
    tenant(&cluster, "shop");
    cluster.psql("shop", "create role backup login; grant pg_read_all_data to backup");
    let options = options(&cluster);
    let why = async |options: &PostgresOptions, database: &str| {
        let fence = Fence::hold(options, database, Duration::from_secs(5)).await;
        match fence.release().await.because {
            Released::NotGranted(why) => why,
            other => panic!("{other}"),
        }
    };
    let backup = PostgresOptions { user: "backup".into(), ..options.clone() };
    assert!(why(&backup, "shop").await.contains("permission denied"));
    assert!(why(&options, "postgres").await.contains("table ir_attachment does not exist"));
    let mut collector = Session::connect(&options, "shop").await.unwrap();
    collector.execute("collect", "begin; lock table public.ir_attachment in share mode").await.unwrap();
    assert!(why(&options, "shop").await.contains("lock timeout"));
}
