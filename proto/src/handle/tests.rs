use super::*;

fn key(id: u32) -> Key {
    Key {
        id,
        secret: [u8::try_from(id).expect("small ids in tests"); 32],
    }
}

fn claims(purpose: Purpose) -> Claims {
    Claims {
        purpose,
        tenant_id: 0x0102_0304_0506_0708,
        user_id: 42,
        id: *b"0123456789abcdef",
        expires_at_micros: 1_700_000_000_000_000,
    }
}

const PURPOSES: [Purpose; 5] = [
    Purpose::Statement,
    Purpose::Prepared,
    Purpose::Transaction,
    Purpose::Lease,
    Purpose::Poll,
];

#[test]
fn a_handle_returns_what_was_signed() {
    let signer = Signer::new(key(7), vec![]);
    for purpose in PURPOSES {
        let handle = signer.sign(&claims(purpose));
        assert_eq!(handle.len(), HANDLE_BYTES);
        assert_eq!(signer.verify(&handle, purpose), Ok(claims(purpose)));
    }
}

#[test]
fn negative_expiry_and_extreme_ids_survive() {
    let signer = Signer::new(key(1), vec![]);
    let extreme = Claims {
        purpose: Purpose::Lease,
        tenant_id: u64::MAX,
        user_id: u64::MAX,
        id: [255; 16],
        expires_at_micros: i64::MIN,
    };
    assert_eq!(
        signer.verify(&signer.sign(&extreme), Purpose::Lease),
        Ok(extreme)
    );
}

#[test]
fn a_handle_of_one_purpose_is_no_other() {
    let signer = Signer::new(key(7), vec![]);
    for made_for in PURPOSES {
        let handle = signer.sign(&claims(made_for));
        for used_as in PURPOSES.into_iter().filter(|purpose| *purpose != made_for) {
            assert_eq!(signer.verify(&handle, used_as), Err(HandleError::Forged));
        }
    }
}

#[test]
fn every_changed_bit_is_noticed() {
    let signer = Signer::new(key(7), vec![key(6)]);
    let handle = signer.sign(&claims(Purpose::Statement));
    for bit in 0..handle.len() * 8 {
        let mut changed = handle.to_vec();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(
            signer.verify(&changed, Purpose::Statement),
            Err(HandleError::Forged)
        );
    }
}

#[test]
fn every_other_length_is_refused() {
    let signer = Signer::new(key(7), vec![]);
    let handle = signer.sign(&claims(Purpose::Statement));
    for length in 0..handle.len() {
        assert_eq!(
            signer.verify(&handle[..length], Purpose::Statement),
            Err(HandleError::Forged)
        );
    }
    let longer = [&handle[..], &[0]].concat();
    assert_eq!(
        signer.verify(&longer, Purpose::Statement),
        Err(HandleError::Forged)
    );
}

#[test]
fn older_keys_still_verify_and_foreign_ones_do_not() {
    let before = Signer::new(key(1), vec![]);
    let after = Signer::new(key(2), vec![key(1)]);
    let old = before.sign(&claims(Purpose::Prepared));
    assert_eq!(
        after.verify(&old, Purpose::Prepared),
        Ok(claims(Purpose::Prepared))
    );
    let new = after.sign(&claims(Purpose::Prepared));
    assert_eq!(
        before.verify(&new, Purpose::Prepared),
        Err(HandleError::Forged)
    );

    let same_id = Signer::new(
        Key {
            id: 1,
            secret: [9; 32],
        },
        vec![],
    );
    assert_eq!(
        same_id.verify(&old, Purpose::Prepared),
        Err(HandleError::Forged)
    );
}

#[test]
fn debug_shows_no_secret() {
    let signer = Signer::new(key(200), vec![]);
    assert_eq!(format!("{signer:?}"), "Signer { current: 200, .. }");
    assert_eq!(format!("{:?}", key(200)), "Key { id: 200, .. }");
}

/// The format on the wire; a change here needs a new format version.
#[test]
fn golden_handle() {
    let signer = Signer::new(key(7), vec![]);
    let handle = signer.sign(&claims(Purpose::Statement));
    let hex: String = handle.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(
        hex,
        concat!(
            "01",
            "01",
            "07000000",
            "0807060504030201",
            "2a00000000000000",
            "30313233343536373839616263646566",
            "00401e18240a0600",
            "04822e53ea4b446db4b56f4aa91cd0419fa0433e60b459753ff4db6811659762",
        )
    );
}
