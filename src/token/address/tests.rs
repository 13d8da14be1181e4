use super::*;

fn strict() -> FetchPolicy {
    FetchPolicy::new(LoopbackHttp::Refused)
}

#[test]
fn addresses_are_classified() {
    let table = [
        ("8.8.8.8", Reach::Public),
        ("2606:4700::1111", Reach::Public),
        ("64:ff9b::808:808", Reach::Public),
        ("10.1.2.3", Reach::Private),
        ("172.31.0.1", Reach::Private),
        ("192.168.0.1", Reach::Private),
        ("100.64.0.1", Reach::Private),
        ("fd00:ec2::254", Reach::Private),
        ("::ffff:10.0.0.1", Reach::Private),
        ("64:ff9b::a00:1", Reach::Private),
        ("127.0.0.1", Reach::Loopback),
        ("127.255.255.254", Reach::Loopback),
        ("::1", Reach::Loopback),
        ("::ffff:127.0.0.1", Reach::Loopback),
        ("0.0.0.0", Reach::Special),
        ("169.254.169.254", Reach::Special),
        ("::ffff:169.254.169.254", Reach::Special),
        ("64:ff9b::a9fe:a9fe", Reach::Special),
        ("224.0.0.1", Reach::Special),
        ("255.255.255.255", Reach::Special),
        ("192.0.2.1", Reach::Special),
        ("198.18.0.1", Reach::Special),
        ("::", Reach::Special),
        ("::127.0.0.1", Reach::Special),
        ("fe80::1", Reach::Special),
        ("ff02::1", Reach::Special),
        ("2001::1", Reach::Special),
        ("2002:7f00:1::", Reach::Special),
    ];
    for (address, reach) in table {
        assert_eq!(Reach::of(address.parse().unwrap()), reach, "{address}");
    }
}

#[test]
fn urls_are_checked_before_anything_is_sent() {
    let table = [
        ("https://issuer.example", Ok(())),
        ("https://issuer.example:8443/tenant?x=1", Ok(())),
        ("http://issuer.example", Err(UrlError::NotHttps)),
        ("http://localhost:1", Err(UrlError::PlainLoopback)),
        ("file:///etc/passwd", Err(UrlError::NotAUrl)),
        ("ftp://issuer.example", Err(UrlError::NotHttps)),
        ("issuer.example", Err(UrlError::NotAUrl)),
        ("https://user@issuer.example", Err(UrlError::UnexpectedPart)),
        ("https://issuer.example#x", Err(UrlError::UnexpectedPart)),
        ("https://169.254.169.254/latest", Err(UrlError::SpecialAddress)),
        ("https://[fd00:ec2::254]/", Err(UrlError::PrivateAddress)),
        ("https://[::ffff:10.0.0.1]/", Err(UrlError::PrivateAddress)),
        ("https://127.0.0.1/", Err(UrlError::PrivateAddress)),
        ("https://0x7f.1/", Err(UrlError::PrivateAddress)),
        ("https://2130706433/", Err(UrlError::PrivateAddress)),
    ];
    for (url, expected) in table {
        assert_eq!(strict().check(url).map(drop), expected, "{url}");
    }
}

#[test]
fn an_address_that_the_operator_wrote_is_meant() {
    let own = |url: &str| strict().for_issuer(&IssuerName::exact(url).unwrap());
    let policy = own("https://10.0.0.7:8443/realm").unwrap();
    policy.check("https://10.0.0.7:8443/realm").unwrap();
    assert_eq!(
        policy.check("https://10.0.0.8/").unwrap_err(),
        UrlError::PrivateAddress
    );
    for url in ["https://dex.corp.example", "http://127.0.0.1:8080"] {
        assert!(own(url).is_none(), "{url}");
    }
    let metadata = own("https://169.254.169.254").unwrap();
    assert_eq!(
        metadata.check("https://169.254.169.254").unwrap_err(),
        UrlError::SpecialAddress
    );
    let cluster = own("https://kubernetes.default.svc").unwrap();
    let cluster_ip = || std::iter::once(SocketAddr::from(([10, 96, 0, 1], 0)));
    assert!(cluster.permitted("kubernetes.default.svc", cluster_ip()).is_ok());
    assert!(cluster.permitted("dex.corp.example", cluster_ip()).is_err());
    let pattern = IssuerName::pattern("https://10.0.0.7/*").unwrap();
    assert!(strict().for_issuer(&pattern).is_none());
}

#[test]
fn loopback_http_is_for_loopback_hosts_only() {
    let policy = FetchPolicy::new(LoopbackHttp::Allowed);
    for url in [
        "http://localhost:1",
        "http://a.localhost",
        "http://127.0.0.1:1",
        "http://[::1]:1",
    ] {
        policy.check(url).unwrap();
    }
    for url in [
        "http://issuer.example",
        "http://localhost.example",
        "http://10.0.0.1",
        "http://0.0.0.0",
    ] {
        assert_eq!(policy.check(url).unwrap_err(), UrlError::NotHttps, "{url}");
    }
}

#[test]
fn a_name_is_held_to_the_address_it_resolves_to() {
    let answer = |addresses: &[&str]| -> Vec<SocketAddr> {
        addresses
            .iter()
            .map(|address| SocketAddr::new(address.parse().unwrap(), 0))
            .collect()
    };
    let permitted = |policy: &FetchPolicy, addresses: &[&str]| {
        policy
            .permitted("issuer.corp", answer(addresses).into_iter())
            .ok()
    };
    assert_eq!(
        permitted(&strict(), &["10.0.0.1", "8.8.8.8"]),
        Some(answer(&["8.8.8.8"]))
    );
    assert_eq!(permitted(&strict(), &["10.0.0.1", "127.0.0.1", "fe80::1"]), None);

    let private = strict().with_private_hosts(["issuer.corp".to_owned()]);
    assert_eq!(
        permitted(&private, &["10.0.0.1", "169.254.169.254"]),
        Some(answer(&["10.0.0.1"]))
    );
    let other = strict().with_private_hosts(["other.corp".to_owned()]);
    assert_eq!(permitted(&other, &["10.0.0.1"]), None);
}

#[test]
fn a_named_host_may_be_private_or_loopback_and_no_other() {
    let named = ["localhost", "[fd00::1]", "10.0.0.7"].map(str::to_owned);
    let policy = strict().with_private_hosts(named);
    for url in ["http://localhost:1", "https://[fd00::1]/", "https://10.0.0.7/"] {
        policy.check(url).unwrap();
    }
    for (url, expected) in [
        ("http://127.0.0.1", UrlError::PlainLoopback),
        ("https://127.0.0.1", UrlError::PrivateAddress),
        ("https://[fd00::2]/", UrlError::PrivateAddress),
        ("https://10.0.0.8/", UrlError::PrivateAddress),
        ("http://10.0.0.7/", UrlError::NotHttps),
    ] {
        assert_eq!(policy.check(url).unwrap_err(), expected, "{url}");
    }
    let loopback = || LOOPBACK.into_iter();
    assert!(policy.permitted("localhost", loopback()).is_ok());
    assert!(policy.permitted("rebound.example", loopback()).is_err());
}

#[tokio::test]
async fn localhost_is_never_looked_up() {
    let resolve = async |loopback, name: &str| {
        let resolver = CheckedResolver(Arc::new(FetchPolicy::new(loopback)));
        resolver
            .resolve(name.parse().unwrap())
            .await
            .ok()
            .map(Iterator::collect::<Vec<_>>)
    };
    assert_eq!(resolve(LoopbackHttp::Refused, "localhost").await, None);
    assert_eq!(
        resolve(LoopbackHttp::Allowed, "localhost").await,
        Some(LOOPBACK.to_vec())
    );
    assert_eq!(
        resolve(LoopbackHttp::Allowed, "any.localhost").await,
        Some(LOOPBACK.to_vec())
    );
}
