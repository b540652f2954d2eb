//! What push relies on beyond the store itself, asked of any remote: uploads that are proven, and what they make of a taken name.

use bytes::Bytes;
use object_store::{ObjectStoreExt, path::Path};
use tillvault::{
    error::Kind,
    store::{
        Remote, is_taken,
        proof::{Expected, Proof, Sha256, Trash},
        upload::Stored,
    },
};

/// The whole of it; nothing is left behind.
pub(crate) async fn proves(remote: &Remote) {
    let profile = remote.probe().await.unwrap();
    let content: Bytes = (0..300_000_u32).map(|n| (n % 249) as u8).collect::<Vec<u8>>().into();
    let path = Path::from("proof/tables/Tickets/chunk.parquet");
    let expected = Expected::of(&content).await;

    assert_eq!(remote.put_new(&path, content.clone()).await.unwrap(), Stored::Uploaded);
    assert_eq!(remote.put_new(&path, content.clone()).await.unwrap(), Stored::Present);
    let proof = remote.prove(&path, &expected).await.unwrap();
    assert_eq!(proof, if profile.rehash { Proof::Rehashed } else { Proof::ReadBack });
    let hash = remote.hash_at(&path).await.unwrap();
    assert_eq!(hash, profile.rehash.then(|| Sha256::of(&content)));
    match remote.hash_at(&Path::from("proof/nowhere")).await {
        Ok(hash) => assert!(hash.is_none() && !profile.rehash),
        Err(error) => assert_eq!(error.kind(), Kind::Damage, "{error}"),
    }

    // Something else, longer, shorter or as long, is never touched.
    for length in [300_000, 400_000, 1000] {
        let other = Bytes::from(vec![7; length]);
        let error = remote.put_new(&path, other.clone()).await.unwrap_err();
        assert!(is_taken(&error), "{length}: {error}");
        assert_eq!(remote.prove(&path, &Expected::of(&other).await).await.unwrap_err().kind(), Kind::Damage);
    }
    remote.prove(&path, &expected).await.unwrap();

    // The rest of a broken upload of this very object is.
    let broken = Path::from("proof/tables/Tickets/broken.parquet");
    remote.store.put(&broken, content.slice(..1234).into()).await.unwrap();
    assert_eq!(remote.put_new(&broken, content.clone()).await.unwrap(), Stored::Uploaded);
    remote.prove(&broken, &expected).await.unwrap();

    let nothing = Path::from("proof/empty.json");
    assert_eq!(remote.put_new(&nothing, Bytes::new()).await.unwrap(), Stored::Uploaded);
    assert_eq!(remote.put_new(&nothing, Bytes::new()).await.unwrap(), Stored::Present);

    for (path, trash) in [(&path, Trash::Keep), (&broken, Trash::Skip), (&nothing, Trash::Skip), (&path, Trash::Skip)] {
        remote.remove(path, trash).await.unwrap();
        assert_eq!(remote.prove(path, &expected).await.unwrap_err().kind(), Kind::Damage);
    }
}
