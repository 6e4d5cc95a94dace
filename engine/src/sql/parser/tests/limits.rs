use super::super::*;
fn clone_in(name: &str, sql: String) {
    let bytes = sql.len();
    let answer = std::thread::Builder::new()
        .stack_size(2 << 20)
        .spawn(move || match parse(&sql) {
            Ok(p) => {
                if let Statement::Query(q) = &p.statement {
                    let c = q.clone();
                    assert!(c == *q);
                    assert!(format!("{c:?}").len() > 1 && c.to_string().len() > 1);
                }
                "ok".to_owned()
            }
            Err(e) => e.to_string(),
        })
        .unwrap()
        .join()
        .unwrap();
    println!("{name:20} {bytes:>8} {answer}");
}
#[test]
fn stress() {
    for n in [50, 100, 250, 400, 500] {
        for (name, op) in [
            ("plus", "+1"),
            ("cast", "::int"),
            ("isnull", " is null"),
            ("typearr", "[]"),
            ("like", " like 1"),
            ("between", " between 1 and 1"),
            ("tz", " at time zone 'x'"),
            ("over", " or f(1)"),
            ("in", " in (1)"),
            ("or", " or a = 1 + 2 * 3"),
            ("orp", " or (a = 1 and b is null)"),
            ("andname", " + and"),
            ("case", "+ case when a and b then 1 end"),
            ("union", " union select 1"),
            ("unionc", " union select 1,1"),
        ] {
            clone_in(
                &format!("{name} {n}"),
                format!("SELECT 1::int{}", op.repeat(n)),
            );
        }
    }
    for n in [10, 40, 49] {
        for m in [5, 10, 50, 100, 1000] {
            let mut s = "1".to_owned();
            for _ in 0..n {
                s = format!("({s}){}", "+1".repeat(m));
            }
            clone_in(&format!("spine {n} {m}"), format!("SELECT {s}"));
            let mut s = "select 1".to_owned();
            for _ in 0..n {
                s = format!("({s}){}", " union select 1".repeat(m));
            }
            clone_in(&format!("union spine {n} {m}"), s);
            let mut s = "1".to_owned();
            for _ in 0..n {
                s = format!("case when {s}{} and a then 1 end", "+1".repeat(m));
            }
            clone_in(&format!("case spine {n} {m}"), format!("select {s}"));
        }
    }
    clone_in(
        "and name",
        format!("select a{}", " + and + 1 + 1 + 1 + 1".repeat(400)),
    );
    clone_in(
        "and name",
        format!("select a{}", " and + 1 + 1 + 1 + 1".repeat(400)),
    );
}
