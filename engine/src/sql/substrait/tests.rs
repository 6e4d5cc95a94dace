#![expect(clippy::unwrap_used, reason = "tests")]

use prost::Message;
use quiver_proto::substrait::{
    Expression, FilterRel, FunctionDeclaration, Literal, LiteralType, NamedStruct, NamedTable,
    PlanRel, ReadRel, ReadType, Rel, RelType, RexType, ScalarFunction, SetRel, StructType,
};

use super::*;

fn read(table: &[&str]) -> Rel {
    let names = table.iter().map(|name| (*name).to_owned()).collect();
    let named = NamedTable {
        names,
        ..Default::default()
    };
    let columns = NamedStruct {
        names: vec![],
        types: Some(StructType::default()),
    };
    rel(RelType::Read(Box::new(ReadRel {
        base_schema: Some(columns),
        read: Some(ReadType::NamedTable(named)),
        ..Default::default()
    })))
}

fn rel(kind: RelType) -> Rel {
    Rel { rel: Some(kind) }
}

fn filtered(input: Rel, condition: Expression) -> Rel {
    rel(RelType::Filter(Box::new(FilterRel {
        input: Some(input),
        condition: Some(condition),
        ..Default::default()
    })))
}

fn text(value: &str) -> Expression {
    Expression {
        rex: Some(RexType::Literal(Box::new(Literal {
            value: Some(LiteralType::String(value.to_owned())),
            variation: 0,
        }))),
    }
}

fn plan(input: Rel) -> Plan {
    let root = RelRoot {
        input: Some(input),
        names: vec![],
    };
    Plan {
        relations: vec![PlanRel {
            kind: Some(PlanRelType::Root(root)),
        }],
        ..Default::default()
    }
}

fn parsed(plan: &Plan) -> Result<ParsedStatement> {
    parse_plan(&plan.encode_to_vec().into())
}

fn refusal(plan: &Plan) -> String {
    parsed(plan).unwrap_err().to_string()
}

#[test]
fn tables_are_shown_and_constants_are_not() {
    let secret = plan(filtered(read(&["main", "orders"]), text("a secret")));
    let parsed = parsed(&secret).unwrap();
    let bytes = secret.encoded_len();
    assert_eq!(
        parsed.redacted,
        format!("SUBSTRAIT PLAN over main.orders ({bytes} bytes)")
    );
    assert!(!format!("{parsed:?}").contains("secret"));
}

#[test]
fn each_table_is_listed_once_and_many_are_cut_short() {
    let inputs = (0..20).map(|n| read(&[&format!("t{}", n % 10)])).collect();
    let union = rel(RelType::Set(SetRel {
        inputs,
        op: 6,
        ..Default::default()
    }));
    let shown = parsed(&plan(union)).unwrap().redacted;
    assert!(
        shown.contains("t0, t1") && shown.contains("t7, …"),
        "{shown}"
    );
    assert!(!shown.contains("t8"), "{shown}");
}

#[test]
fn what_decodes_to_nothing_is_refused() {
    assert_eq!(
        refusal(&plan(Rel::default())),
        "Substrait rel of an unknown kind is not supported"
    );
    assert_eq!(
        refusal(&plan(filtered(read(&["t"]), Expression::default()))),
        "Substrait expression of an unknown kind is not supported"
    );
    let unknown = Plan {
        relations: vec![PlanRel { kind: None }],
        ..Default::default()
    };
    assert_eq!(
        refusal(&unknown),
        "Substrait relation of an unknown kind is not supported"
    );
}

#[test]
fn names_of_functions_lose_their_signature() {
    let function = |anchor, name: &str| Declaration {
        mapping: Some(Mapping::Function(FunctionDeclaration {
            anchor,
            name: name.to_owned(),
        })),
    };
    let functions = functions_of(&[function(1, "equal:any_any"), function(2, "count")]).unwrap();
    assert_eq!(functions[&1], "equal");
    assert_eq!(functions[&2], "count");
    assert!(functions_of(&[function(1, "a"), function(1, "b")]).is_err());
}

/// The decoder's bound is what keeps every recursion of ours from the end of the stack.
#[test]
fn nesting_is_bounded_by_the_decoder() {
    let nested = |depth| {
        let call = |_| Expression {
            rex: Some(RexType::ScalarFunction(ScalarFunction::default())),
        };
        (0..depth).fold(filtered(read(&["t"]), call(())), |inner, _| {
            filtered(inner, call(()))
        })
    };
    assert!(parsed(&plan(nested(40))).is_ok());
    let refused = refusal(&plan(nested(60)));
    assert!(refused.contains("recursion limit"), "{refused}");
}
