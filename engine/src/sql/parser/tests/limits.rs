use super::super::*;
fn probe(name: &str, sql: &str) {
    let parsed = parse(sql).unwrap();
    let p = &parsed;
    let run = |what: &str, f: &(dyn Fn() + Sync)| {
        let mut used = 0;
        for kb in [16usize, 32, 64, 128, 256, 512, 1024, 2048, 4096] {
            let st = std::process::Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "parser::tests::limits::child", "--nocapture"])
                .env("CH", format!("{what}|{kb}|{sql}"))
                .stderr(std::process::Stdio::null())
                .stdout(std::process::Stdio::null())
                .status()
                .unwrap();
            let _ = f;
            if st.success() {
                used = kb;
                break;
            }
        }
        println!("{name:20} {what:8} {used} kB");
    };
    for w in ["drop", "clone", "eq", "debug", "display"] {
        run(w, &|| {
            let _ = p;
        });
    }
}
#[test]
fn child() {
    let Ok(ch) = std::env::var("CH") else { return };
    let mut it = ch.splitn(3, '|');
    let what = it.next().unwrap().to_owned();
    let kb: usize = it.next().unwrap().parse().unwrap();
    let sql = it.next().unwrap().to_owned();
    std::thread::Builder::new()
        .stack_size(64 << 20)
        .spawn(move || {
            let p = Box::leak(Box::new(parse(&sql).unwrap()));
            let q = Box::new(p.clone());
            let p: &'static ParsedStatement = p;
            let q: &'static ParsedStatement = Box::leak(q);
            let own = p.clone();
            std::thread::Builder::new()
                .stack_size(kb << 10)
                .spawn(move || {
                    match what.as_str() {
                        "drop" => drop(own),
                        "clone" => std::mem::forget(p.clone()),
                        "eq" => {
                            assert!(p.statement == q.statement);
                        }
                        "debug" => {
                            assert!(format!("{p:?}").len() > 3);
                        }
                        _ => {
                            if let Statement::Query(d) = &p.statement {
                                assert!(d.to_string().len() > 3);
                            }
                        }
                    }
                    std::process::exit(0);
                })
                .unwrap()
                .join()
                .unwrap();
        })
        .unwrap()
        .join()
        .unwrap();
}
#[test]
fn stress() {
    probe("plus 1000", &format!("SELECT 1{}", "+1".repeat(1000)));
    probe("plus 2000", &format!("SELECT 1{}", "+1".repeat(2000)));
    probe(
        "isnull 1000",
        &format!("SELECT 1{}", " is null".repeat(1000)),
    );
    probe("types 2000", &format!("SELECT 1::int{}", "[]".repeat(2000)));
    probe(
        "union 250",
        &format!("SELECT 1{}", " union select 1".repeat(250)),
    );
    probe(
        "union 1000",
        &format!("SELECT 1{}", " union select 1".repeat(1000)),
    );
}
