//! Shares, places and budgets, seen from the inside.

use std::net::IpAddr;
use std::sync::Arc;

use super::super::account::Place;
use super::super::arrival::Arrival;
use super::super::budget::{Reservation, Unsent};
use super::super::places::{ConnectionRefusal, Places, Seat};
use super::super::{Budget, ClientAddress, Limits, Overloaded};

const STRANGER: &str = "192.0.2.1";

fn places(limits: Limits) -> Arc<Places> {
    Arc::new(Places::new(limits, vec!["10.0.0.0/8".parse().unwrap()]))
}

fn enter(places: &Arc<Places>, address: &str) -> Result<Seat, ConnectionRefusal> {
    places.enter(address.parse::<IpAddr>().unwrap())
}

/// A connection with a request that goes on as long as the value.
fn busy(seat: &Seat) -> Place {
    Place::take(&seat.open.account).unwrap()
}

/// A request whose body is awaited until it ends.
fn awaited(seat: &Seat) -> Arc<Arrival> {
    Arrival::begin(&seat.open.account, false)
}

fn has_to_leave(seat: &Seat) -> bool {
    use futures_util::FutureExt as _;
    seat.open.leave.notified().now_or_never().is_some()
}

#[test]
fn the_connection_that_is_idle_for_longest_makes_room() {
    let places = places(Limits {
        connections: 4,
        client_parts: 1,
        ..Limits::standard()
    });
    let mut seats: Vec<Seat> = (1..=4)
        .map(|n| enter(&places, &format!("192.0.2.{n}")).unwrap())
        .collect();
    let flights: Vec<Place> = [0, 1, 3].map(|n: usize| busy(&seats[n])).into();
    let new = enter(&places, "192.0.2.5").unwrap();
    assert_eq!(
        seats.iter().map(has_to_leave).collect::<Vec<_>>(),
        [false, false, true, false]
    );

    let _busy = busy(&new);
    assert_eq!(enter(&places, "192.0.2.6").unwrap_err(), ConnectionRefusal::Full);
    drop(flights);
    seats.remove(2);
    enter(&places, "192.0.2.6").expect("three are idle");
}

#[test]
fn a_client_gets_a_share_of_the_connections_and_displaces_nobody_else() {
    let places = places(Limits {
        connections: 8,
        client_parts: 4,
        ..Limits::standard()
    });
    let other = enter(&places, "192.0.2.2").unwrap();
    let seats = [
        enter(&places, STRANGER).unwrap(),
        enter(&places, STRANGER).unwrap(),
    ];
    let _flights = seats.each_ref().map(busy);
    assert_eq!(enter(&places, STRANGER).unwrap_err(), ConnectionRefusal::Client);
    assert!(!has_to_leave(&other));
    drop(_flights);
    let _third = enter(&places, STRANGER).unwrap();
    assert_eq!(seats.iter().filter(|seat| has_to_leave(seat)).count(), 1);
    assert!(!has_to_leave(&other));
    // A proxy stands for many clients.
    let proxied: Vec<Seat> = (0..5).map(|_| enter(&places, "10.1.2.3").unwrap()).collect();
    assert!(proxied.iter().all(|seat| seat.open.client.is_none()));
    let named = other.open.client.map(ClientAddress::ip);
    assert_eq!(named, Some("192.0.2.2".parse().unwrap()));
}

#[test]
fn the_share_of_requests_comes_back() {
    let places = places(Limits {
        requests: 4,
        client_parts: 2,
        ..Limits::standard()
    });
    let (first, second) = (
        enter(&places, STRANGER).unwrap(),
        enter(&places, STRANGER).unwrap(),
    );
    let begin = |seat: &Seat| Place::take(&seat.open.account);
    let held = [begin(&first).unwrap(), begin(&second).unwrap()];
    assert_eq!(begin(&first).unwrap_err(), Overloaded);
    let other = enter(&places, "192.0.2.2").unwrap();
    let _others = [begin(&other).unwrap(), begin(&other).unwrap()];
    let third = enter(&places, "192.0.2.3").unwrap();
    assert_eq!(
        begin(&third).unwrap_err(),
        Overloaded,
        "all together have no more"
    );
    drop(held);
    begin(&third).unwrap();
}

#[test]
fn awaited_requests_make_room_for_each_other_and_keep_no_place() {
    let places = places(Limits {
        awaited: 4,
        requests: 2,
        client_parts: 2,
        ..Limits::standard()
    });
    let seat = |n: u8| enter(&places, &format!("192.0.2.{n}")).unwrap();
    let (one, other, good) = (seat(1), seat(2), seat(3));
    let mut strangers: Vec<_> = [&one, &other, &one, &other].map(awaited).into();
    let refused =
        |arrivals: &[Arc<Arrival>]| -> Vec<bool> { arrivals.iter().map(|one| one.is_refused()).collect() };
    // The third of a client is in the place of its own first.
    strangers.push(awaited(&one));
    assert_eq!(refused(&strangers), [true, false, false, false, false]);
    // One of somebody else is in the place of the first of all.
    let issuing = awaited(&good);
    assert_eq!(refused(&strangers), [true, true, false, false, false]);
    assert!(issuing.end(), "strangers have no place");
    assert!(Arrival::begin(&other.open.account, true).end());
    // Its own share of the places is taken, and then there is none.
    let (second, third) = (awaited(&good), awaited(&other));
    assert!(!second.end() && second.is_refused());
    issuing.leave();
    assert!(third.end());
    assert!(strangers.iter().filter(|stranger| !stranger.is_refused()).count() == 2);
}

#[test]
fn a_connection_of_awaited_requests_makes_room() {
    let places = places(Limits {
        connections: 1,
        ..Limits::standard()
    });
    let seat = enter(&places, STRANGER).unwrap();
    let request = awaited(&seat);
    let next = enter(&places, "192.0.2.2").unwrap();
    assert!(has_to_leave(&seat));
    drop(next);
    assert!(request.end());
}

#[tokio::test]
async fn who_waits_for_a_refusal_is_told() {
    use futures_util::FutureExt as _;

    let places = places(Limits {
        awaited: 1,
        ..Limits::standard()
    });
    let seat = enter(&places, STRANGER).unwrap();
    let first = awaited(&seat);
    let mut refused = Box::pin(first.refused());
    assert!((&mut refused).now_or_never().is_none());
    let _second = awaited(&seat);
    refused.await;
}

#[test]
fn large_answers_are_refused_before_small_ones() {
    let kib = 1024;
    let limits = Limits {
        answers: 256 * kib,
        connection_answers: 64 * kib,
        client_parts: 4,
        ..Limits::standard()
    };
    let places = places(limits);
    let take = |seat: &Seat, bytes| Reservation::try_take(&seat.open.account, bytes);
    let strangers: Vec<Seat> = (1..=4)
        .map(|n| enter(&places, &format!("192.0.2.{n}")).unwrap())
        .collect();
    let held: Vec<_> = strangers
        .iter()
        .map(|seat| take(seat, 64 * kib).unwrap())
        .collect();
    let good = enter(&places, "192.0.2.9").unwrap();
    assert_eq!(take(&good, 32 * kib).unwrap_err(), Overloaded);
    take(&good, 4 * kib).expect("a certificate is small");
    // The small ones of one client do not take what is left for them.
    let mut small = Vec::new();
    while let Ok(taken) = take(&strangers[0], 4 * kib) {
        small.push(taken);
    }
    assert_eq!(small.len(), 4);
    take(&good, 4 * kib).unwrap();
    drop(held);
    take(&good, 32 * kib).unwrap();
}

#[test]
fn a_body_is_counted_in_the_share_of_its_client() {
    let places = places(Limits {
        uploads: 100,
        client_parts: 2,
        ..Limits::standard()
    });
    let upload = |seat: &Seat| Budget::new(&seat.open.account).upload();
    let (one, other) = (
        enter(&places, STRANGER).unwrap(),
        enter(&places, "192.0.2.2").unwrap(),
    );
    let (mut first, mut second) = (upload(&one), upload(&one));
    first.grow(30).unwrap();
    second.grow(20).unwrap();
    assert_eq!(second.grow(1).unwrap_err(), Overloaded);
    upload(&other).grow(50).unwrap();
    drop(first);
    second.grow(30).unwrap();
}

#[tokio::test]
async fn answers_wait_until_the_others_of_their_connection_were_read() {
    use futures_util::FutureExt as _;

    let places = places(Limits {
        connection_answers: 100,
        ..Limits::standard()
    });
    let seat = enter(&places, STRANGER).unwrap();
    let budget = Budget::new(&seat.open.account);
    let large = budget.reserve_answer(1000).await.expect("one may be larger");
    let second = budget.clone();
    let mut second = Box::pin(async move { second.reserve_answer(10).await });
    assert!((&mut second).now_or_never().is_none());
    drop(large);
    second.await.unwrap();
}

#[test]
fn an_answer_is_stalled_after_two_generations_without_progress() {
    let places = places(Limits::standard());
    let seat = enter(&places, STRANGER).unwrap();
    let account = &seat.open.account;
    let is_stalled = || account.is_stalled();
    assert!((0..10).all(|_| !is_stalled()), "nothing waits");

    let mut slow = Unsent::new(account, 64 * 1024);
    let stuck = Unsent::new(account, 10);
    assert!(seat.open.account.idle_since().is_none());
    assert!(!is_stalled() && !is_stalled());
    slow.sent(16 * 1024);
    assert!(is_stalled(), "one made progress, the other did not");
    drop(stuck);
    assert!(!is_stalled());
    slow.sent(16 * 1024);
    assert!(!is_stalled());
    // A byte now and then is no progress.
    slow.sent(1);
    assert!(!is_stalled());
    slow.sent(1);
    assert!(is_stalled());
    drop(slow);
    assert!(!is_stalled());
    assert!(account.idle_since().is_some());
}
