//! Whole words typed at one place at the same time, forwards or backwards.

use super::*;

#[derive(Clone, Copy, PartialEq)]
enum Direction {
    Forwards,
    Backwards,
}

/// Types a word from a place on, character by character, so that it reads the same either way.
fn type_word(world: &mut World, me: usize, at: usize, word: &str, direction: Direction) {
    let chars: Vec<char> = word.chars().collect();
    for n in 0..chars.len() {
        match direction {
            Direction::Forwards => world.insert(me, at + n, &chars[n].to_string()),
            Direction::Backwards => world.insert(me, at, &chars[chars.len() - 1 - n].to_string()),
        }
    }
}

/// Words of a letter each of their own, typed at one place inside a text; says whether all came out whole.
fn words_stay_whole(rng: &mut ChaCha8Rng, order: TextOrder, directions: &[Direction]) -> bool {
    let mut world = World::new(order, directions.len());
    let around: String =
        (0..rng.random_range(0..12)).map(|n| char::from(b'0' + (n % 10) as u8)).collect();
    if !around.is_empty() {
        let middle = rng.random_range(0..=around.len());
        world.insert(0, 0, &around[middle..]);
        type_word(&mut world, 0, 0, &around[..middle], Direction::Backwards);
    }
    world.merge_all();
    let at = rng.random_range(0..=around.len());
    let words: Vec<String> = (0..directions.len() as u8)
        .map(|me| char::from(b'a' + me).to_string().repeat(rng.random_range(1..9)))
        .collect();
    for ((me, word), direction) in words.iter().enumerate().zip(directions) {
        type_word(&mut world, me, at, word, *direction);
    }
    world.merge_all();
    let text = world.sequences[0].text();
    assert!(world.sequences.iter().all(|of| of.text() == text), "{order:?}: replicas differ");
    assert!(text.starts_with(&around[..at]) && text.ends_with(&around[at..]), "{text}");
    words.iter().all(|word| text.contains(word.as_str()))
}

#[test]
fn fuguemax_never_interleaves_whichever_way_words_are_typed() {
    for seed in 0..2000 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let directions: Vec<Direction> = (0..rng.random_range(2..4))
            .map(|_| [Direction::Forwards, Direction::Backwards][rng.random_range(0..2)])
            .collect();
        let whole = words_stay_whole(&mut rng, TextOrder::FugueMax, &directions);
        assert!(whole, "seed {seed}");
    }
}

#[test]
fn rga_never_interleaves_words_typed_forwards_but_most_typed_backwards() {
    let mut torn = 0;
    for seed in 0..1000 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let replicas = rng.random_range(2..4);
        let whole =
            words_stay_whole(&mut rng, TextOrder::Rga, &vec![Direction::Forwards; replicas]);
        assert!(whole, "seed {seed}");
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let backwards = vec![Direction::Backwards; replicas];
        torn += usize::from(!words_stay_whole(&mut rng, TextOrder::Rga, &backwards));
    }
    assert!(torn > 500, "{torn} of 1000 pairs typed backwards were torn apart");
}

#[test]
fn rga_shuffles_two_words_typed_backwards_like_cards() {
    let text_of = |order| {
        let mut world = World::new(order, 2);
        type_word(&mut world, 0, 0, "north", Direction::Backwards);
        type_word(&mut world, 1, 0, "SOUTH", Direction::Backwards);
        world.merge_all();
        world.sequences[1].text()
    };
    assert_eq!(text_of(TextOrder::Rga), "nSoOrUtThH");
    assert_eq!(text_of(TextOrder::FugueMax), "northSOUTH");
}

#[test]
fn passages_pasted_backwards_stay_whole_in_fuguemax_order_with_deletions_between() {
    for seed in 0..500 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut world = World::new(TextOrder::FugueMax, 2);
        world.insert(0, 0, "(..........)");
        world.merge_all();
        let letters = ["aa", "bb"];
        for (me, word) in letters.iter().enumerate() {
            world.delete(me, rng.random_range(1..6), rng.random_range(1..5));
            let at = 1;
            for n in 0..rng.random_range(1..6) {
                let end = at + 2 * n;
                world.insert(me, if rng.random_range(0..2) == 0 { at } else { end }, word);
            }
        }
        world.merge_all();
        let text = world.sequences[0].text();
        assert_eq!(text, world.sequences[1].text(), "seed {seed}");
        let torn = text.contains("ab") && text.contains("ba");
        assert!(!torn, "seed {seed}: {text}");
    }
}
